/**
 * `npm test`: installs and builds what is missing, gets the servers that the tests run for real,
 * checks the style and runs everything. `--node 22` runs the suite on that Node.js version; further
 * arguments go to vitest, for example a file name.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, must, root, step } from './bootstrap.mjs';
import { getServers } from './servers.mjs';

const args = process.argv.slice(2);
const nodeFlag = args.indexOf('--node');
const nodeVersion = nodeFlag < 0 ? undefined : args.splice(nodeFlag, 2)[1];

bootstrap();
getServers();
step('Checking the style');
must(process.execPath, [
  join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome'),
  'check',
  '--error-on-warnings',
  '.',
]);
const failed = runSuite(nodeVersion === undefined ? process.execPath : getNode(nodeVersion));
process.exit(failed ? 1 : 0);

/** Runs vitest and prints the counts alone on a line. @returns whether anything failed. */
function runSuite(node) {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  step(`Testing on Node.js ${stdout.trim()}`);
  const report = join(root, '.build', 'vitest.json');
  mkdirSync(join(root, '.build'), { recursive: true });
  rmSync(report, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const { status } = spawnSync(node, [vitest, 'run', ...reporters, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PATH: `${join(node, '..')}:${process.env.PATH}` },
  });
  if (!existsSync(report)) {
    process.stderr.write('The tests ended without a report.\n');
    return true;
  }
  const { numPassedTests, numFailedTests, numTotalTests } = JSON.parse(readFileSync(report));
  const unrun = numTotalTests - numPassedTests - numFailedTests;
  if (unrun > 0) process.stdout.write(`${unrun} tests did not run.\n`);
  process.stdout.write(`${numPassedTests} passed, ${numFailedTests + unrun} failed\n`);
  return status !== 0 || numFailedTests + unrun > 0 || numPassedTests === 0;
}

/** Installs another Node.js version from the npm registry. @returns its path. */
function getNode(version) {
  const dir = join(root, '.build', `node${version}`);
  const node = join(dir, 'node_modules', 'node', 'bin', 'node');
  if (!existsSync(node)) {
    step(`Installing Node.js ${version}`);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'package.json'), '{ "private": true }\n');
    const flags = ['--no-audit', '--no-fund', '--no-save'];
    must('npm', ['install', ...flags, `node@${version}`], { cwd: dir });
  }
  return node;
}
