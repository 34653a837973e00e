/** Goal: options of the original and our own, from file, environment and flags; mistakes refused.
 *  Method: readConfig with given arguments and environments. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readConfig, type StorageConfig } from '../src/config.ts';
import { createDocroot } from './helpers.ts';

function configOf(argv: string[], env: NodeJS.ProcessEnv = {}): StorageConfig {
  const commandLine = readConfig(['--skipconfig', ...argv], env);
  if (commandLine.action !== 'run') throw new Error(JSON.stringify(commandLine));
  return commandLine.config;
}

function refusalOf(argv: string[], env: NodeJS.ProcessEnv = {}): string {
  const commandLine = readConfig(argv, env);
  return commandLine.action === 'refuse' ? commandLine.reason : 'not refused';
}

test('defaults are those of the original, and synced', () => {
  expect(configOf([])).toMatchObject({
    docroot: '/var/mogdata',
    httpHost: '0.0.0.0',
    httpPort: 7500,
    connectionsMax: 10_000,
    sync: 'always',
    freeReserveMb: 100,
    warnings: [],
  });
});

test('flags with blanks, equal signs, short and shortened names', () => {
  const config = configOf([
    '--docroot=/data',
    '--httplisten',
    '127.0.0.1:0',
    '--maxc=5',
    '--free_reserve_mb=7',
    '--sync=never',
    '--adopt',
    'dev3',
    '--adopt=dev12',
  ]);
  expect(config).toMatchObject({
    docroot: '/data',
    httpHost: '127.0.0.1',
    httpPort: 0,
    connectionsMax: 5,
    freeReserveMb: 7,
    sync: 'never',
    adopt: [3, 12],
  });
  expect(Object.isFrozen(config)).toBe(true);
});

test.each([
  ['7501', '0.0.0.0', 7501],
  ['[::1]:7501', '::1', 7501],
  ['localhost:7501', 'localhost', 7501],
])('httplisten %s', (text, httpHost, httpPort) => {
  expect(configOf(['--httplisten', text])).toMatchObject({ httpHost, httpPort });
});

test('file, then environment, then flags', async () => {
  const file = join(await createDocroot(), 'mogstored.conf');
  await writeFile(file, '# old\nmaxconns = 5\ndocroot=/from/file # yes\nhttplisten = 0.0.0.0:1\n');
  const env = { MOGSTORED_HTTPLISTEN: '127.0.0.1:2', MOGSTORED_MAXCONNS: '6' };
  const commandLine = readConfig(['-c', file, '--maxconns', '7'], env);
  expect(commandLine).toMatchObject({
    action: 'run',
    config: { docroot: '/from/file', httpPort: 2, connectionsMax: 7 },
  });
});

test('a mistake in the file is refused with its line', async () => {
  const file = join(await createDocroot(), 'mogstored.conf');
  await writeFile(file, 'maxconns = 5\n\nSERVER perlbal\n');
  expect(refusalOf(['--config', file])).toMatch(/line 3: 'SERVER perlbal' is not name = value/);
  await writeFile(file, 'maxcons = 5\n');
  expect(refusalOf(['--config', file])).toMatch(/line 1: unknown option .* mean 'maxconns'/);
  expect(refusalOf(['--config', `${file}.gone`])).toMatch(/cannot read the configuration file/);
});

test.each([
  [['--docrot', '/x'], /unknown option 'docrot'; did you mean 'docroot'/],
  [['--htplisten=1'], /did you mean 'httplisten'/],
  [['-x'], /unknown option 'x'/],
  [['server'], /unexpected argument 'server'/],
  [['--docroot'], /--docroot needs a value/],
  [['--maxconns=many'], /maxconns must be a whole number/],
  [['--maxconns=0'], /maxconns must be at least 1/],
  [['--sync=maybe'], /sync must be one of always, batch, never/],
  [['--log-level=loud'], /log-level must be one of/],
  [['--httplisten=here'], /must be \[ip:\]port/],
  [['--httplisten=1.2.3.4:99999'], /must be \[ip:\]port/],
  [['--adopt=3'], /adopt must name a device like dev3/],
  [['--pull=maybe'], /pull must be 1 or 0, not 'maybe'/],
  [['--allow='], /allow is empty/],
  [['--url-secret', ' , '], /url-secret is empty/],
])('%o is refused', (argv, reason) => {
  expect(refusalOf(['--skipconfig', ...argv])).toMatch(reason);
});

test.each([
  [[], { host: '0.0.0.0', port: 7501 }, true],
  [['--mgmtlisten=127.0.0.1:7601', '--noiostat'], { host: '127.0.0.1', port: 7601 }, false],
  [['--mgmtlisten', 'none', '--iostat=0'], undefined, false],
  [['--mgmtlisten=7601', '--iostat'], { host: '0.0.0.0', port: 7601 }, true],
])('the side channel with %j', (argv, management, iostat) => {
  expect(configOf(argv)).toMatchObject({ management, iostat });
});

test.each([
  [[], {}, 'own'],
  [['--server=perlbal'], {}, 'own'],
  [['--server=nginx', '--nginx-workers', '2'], {}, 'nginx'],
  [['--server=none'], {}, 'none'],
  [[], { MOGSTORED_SERVER_TYPE: 'nginx' }, 'nginx'],
])('the server with %j and %j', (argv, env, server) => {
  expect(configOf(argv, env)).toMatchObject({ server, warnings: [] });
});

test('what this version cannot do is said', () => {
  const config = configOf(['--server=apache'], { MOG_DEV_USAGE_VIA_DU: '1' });
  expect(config.server).toBe('own');
  expect(config.warnings).toEqual([
    expect.stringMatching(/^server apache is not run by this version/),
    expect.stringMatching(/MOG_DEV_USAGE_VIA_DU has no effect/),
  ]);
});

test('--help teaches every option and how to try it', () => {
  const commandLine = readConfig(['--help'], {});
  const text = commandLine.action === 'help' ? commandLine.text : '';
  for (const name of ['docroot', 'httplisten', 'sync', 'adopt', 'free-reserve-mb', 'Try it']) {
    expect(text).toContain(name);
  }
  expect(text.split('\n').every((line) => line.length <= 100)).toBe(true);
  // A list of nothing.
  expect(text).not.toMatch(/: \.$/m);
});
