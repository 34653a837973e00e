/**
 * Goal: the load tool does what its command line says and refuses what it cannot do.
 * Method: tables of arguments.
 */
import { describe, expect, test } from 'vitest';
import { loadBench } from './load-bench.ts';

const { readCommandLine } = await loadBench<{
  readCommandLine(argv: readonly string[]): { action: string; options?: unknown };
}>('options.ts');

const remote = ['--tracker', '127.0.0.1:7001', '--domain', 'd'];

function accepted(...argv: string[]): unknown {
  const line = readCommandLine(argv);
  expect(line).toMatchObject({ action: 'run' });
  return line.options;
}

describe('command line', () => {
  test('a local run needs nothing else', () => {
    expect(accepted('--local')).toEqual({
      tracker: undefined,
      domain: 'bench',
      mysql: undefined,
      docroots: [],
      nginx: false,
      dir: undefined,
      workloads: ['get_paths', 'read', 'store', 'copies', 'delete'],
      connections: [1, 16, 64],
      sizes: [4096, 65_536, 1_048_576],
      rounds: 5,
      seconds: 3,
      processes: [],
      json: undefined,
    });
  });

  test('everything can be said', () => {
    const argv = [
      ...['--tracker', '[::1]:7001', '--domain', 'photos', '--mysql', 'mysql://u@h/db'],
      ...['--docroot', '/a', '--docroot', '/b', '--nginx', '--workloads', 'store,delete'],
      ...['--connections', '2,8', '--sizes', '100,2k,1M', '--rounds', '7', '--seconds', '0.5'],
      ...['--pid', 'tracker=12', '--pid', 'storage=13', '--json', 'out.json'],
    ];
    expect(accepted(...argv)).toEqual({
      tracker: { host: '::1', port: 7001 },
      domain: 'photos',
      mysql: 'mysql://u@h/db',
      docroots: ['/a', '/b'],
      nginx: true,
      dir: undefined,
      workloads: ['store', 'delete'],
      connections: [2, 8],
      sizes: [100, 2048, 1_048_576],
      rounds: 7,
      seconds: 0.5,
      processes: [
        { name: 'tracker', pid: 12 },
        { name: 'storage', pid: 13 },
      ],
      json: 'out.json',
    });
  });

  test.each([
    [[], '--local'],
    [['--tracker', 'h:1'], '--domain'],
    [['--local', '--tracker', 'h:1'], 'exclude'],
    [['--local', '--nginx'], 'exclude'],
    [[...remote, '--nginx'], '--docroot'],
    [[...remote, '--dir', '/x'], '--local'],
    [['--tracker', 'nowhere', '--domain', 'd'], 'HOST:PORT'],
    [['--local', '--sizes', '4q'], '4q'],
    [['--local', '--sizes', '0'], '--sizes'],
    [['--local', '--connections', '1,0'], '--connections'],
    [['--local', '--connections', '1.5'], '--connections'],
    [['--local', '--rounds', 'many'], '--rounds'],
    [['--local', '--seconds', '0'], '--seconds'],
    [['--local', '--workloads', 'store,guess'], 'guess'],
    [[...remote, '--pid', '12'], 'NAME=PID'],
    [['--local', '--no-such-option'], '--no-such-option'],
    [['--local', 'stray'], 'stray'],
  ])('%j is refused with a reason', (argv, reason) => {
    const line = readCommandLine(argv);
    expect(line).toMatchObject({ action: 'refuse', reason: expect.stringContaining(reason) });
  });

  test('help wins over everything', () => {
    expect(readCommandLine(['--nginx', '--help'])).toEqual({ action: 'help' });
  });
});
