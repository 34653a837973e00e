/** Goal: the tour behind `npm start` ends well, on a new state and again on the kept one. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';

const omgfs = fileURLToPath(new URL('../../packages/cli/dist/bin/omgfs.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'omgfs-demo-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('every file comes back, twice', async () => {
  mkdirSync(join(dir, 'tree/deep'), { recursive: true });
  for (let count = 0; count < 60; count += 1) {
    const name = count % 2 === 0 ? `file ${count}` : `deep/${count}`;
    writeFileSync(join(dir, 'tree', name), randomBytes(count * 1500));
  }
  writeFileSync(join(dir, 'tree/large'), randomBytes(9_000_000));
  const args = ['demo', join(dir, 'tree'), '--once', '--port-base', '0'];
  for (const run of ['first', 'second']) {
    const { stdout } = await promisify(execFile)(process.execPath, [omgfs, ...args], { cwd: dir });
    expect(`${run} ${stdout}`).toMatch(/61 \(.*fully replicated.*Every file came back/s);
  }
});
