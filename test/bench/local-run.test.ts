/**
 * Goal: the load tool measures a real system and leaves nothing behind.
 * Method: the built tool, a very short local run, its JSON and the directory it worked in.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const tool = fileURLToPath(new URL('../../bench/dist/bin/bench.js', import.meta.url));

interface Report {
  rows: { workload: string; errors: number; opsPerSecond: { median: number } }[];
  ratios: { name: string; target?: number; of: { median: number } }[];
}

test('a local run prints and keeps a row for each workload and limit, without errors', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-bench-test-'));
  const json = join(dir, 'result.json');
  const work = await mkdtemp(join(dir, 'work-'));
  const size = ['--sizes', '4k', '--connections', '2,64', '--rounds', '1', '--seconds', '0.2'];
  const what = ['--workloads', 'get_paths,read,store,copies'];
  try {
    const { stdout } = await run(process.execPath, [
      ...[tool, '--local', '--dir', work, '--json', json],
      ...size,
      ...what,
    ]);
    const report = JSON.parse(await readFile(json, 'utf8')) as Report;
    expect(new Set(report.rows.map(({ workload }) => workload))).toEqual(
      new Set([
        'get_paths',
        'bare SELECT',
        'nginx GET',
        'read',
        'bare disk write',
        'bare parts',
        'store',
        'bare INSERT',
        'store, 2 copies',
      ]),
    );
    for (const { workload, errors, opsPerSecond } of report.rows) {
      expect({ workload, errors }).toEqual({ workload, errors: 0 });
      expect(opsPerSecond.median).toBeGreaterThan(0);
    }
    expect(report.ratios.flatMap(({ target }) => target ?? [])).toEqual([1, 0.5]);
    expect(stdout).toMatch(/get_paths x64 \/ bare SELECT x10 .*target >= 1 {2}(pass|MISS)/);
    expect(await readdir(work)).toEqual([]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
