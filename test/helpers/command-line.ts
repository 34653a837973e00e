/** The built `omgfs` as a child process, with pipes where a person has a terminal. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const omgfsScript = fileURLToPath(
  new URL('../../packages/cli/dist/bin/omgfs.js', import.meta.url),
);

export interface Ran {
  code: number | null;
  out: Buffer;
  err: string;
}

export async function runOmgfs(
  args: readonly string[],
  options: { cwd: string; input?: Buffer },
): Promise<Ran> {
  const { cwd, input = Buffer.alloc(0) } = options;
  const child = spawn(process.execPath, [omgfsScript, ...args], { cwd });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    once(child, 'exit'),
  ]);
  return { code, out, err: err.toString() };
}
