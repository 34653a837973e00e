import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-config-'));
afterAll(() => rmSync(dir, { recursive: true }));

function config(argv: string[], env: NodeJS.ProcessEnv = {}) {
  const line = readConfig(argv, env);
  if (line.action !== 'run') throw new Error(JSON.stringify(line));
  return line.config;
}

function refusal(argv: string[]): string {
  const line = readConfig(argv, {});
  return line.action === 'refuse' ? line.reason : '';
}

describe('flags', () => {
  test('the original spellings are understood', () => {
    const seen = config([
      '-s',
      '-l',
      '127.0.0.1:7005',
      '--listen=127.0.0.2',
      '-p',
      '7009',
      '--dsn=DBI:mysql:m;host=h',
      '--dbuser',
      'u',
      '--dbpass',
      'p',
      '--workers=2',
    ]);
    expect(seen.listen).toEqual([
      { host: '127.0.0.1', port: 7005 },
      { host: '127.0.0.2', port: 7009 },
    ]);
    expect(seen).toMatchObject({ dsn: 'DBI:mysql:m;host=h', dbUser: 'u', dbPassword: 'p' });
  });

  test('an option without effect is said', () => {
    expect(config(['-s', '--max_handles=2', '-D']).warnings).toEqual([
      expect.stringMatching(/^option max_handles has no effect: /),
    ]);
  });

  test('no-job-master runs no jobs', () => {
    expect(config(['-s', '--no-job_master'])).toMatchObject({ replicateJobs: 0, deleteJobs: 0 });
    expect(config(['-s']).replicateJobs).toBeGreaterThan(0);
  });

  test.each([
    [['-s', '--nosuch']],
    [['-s', 'stray']],
    [['-s', '--listen=example']],
    [['-s', '--listen=1.2.3.4:99999']],
    [['-s', '--min_free_space=lots']],
    [['-s', '--dsn']],
    [['--config=/nonexistent/mogilefsd.conf']],
  ])('%j is refused with a reason', (argv) => {
    expect(refusal(argv)).not.toBe('');
  });

  test('help names every option', () => {
    const line = readConfig(['--help'], {});
    expect(line.action === 'help' && line.text).toMatch(/--dsn TEXT.*--create_schema/s);
  });
});

describe('the file', () => {
  const path = join(dir, 'mogilefsd.conf');
  writeFileSync(
    path,
    '# a comment\ndb_dsn = DBI:mysql:fromfile\ndb_user  someone\nmin_free_space = 7\n' +
      'conf_port=7777\nlisten = 127.0.0.1, 127.0.0.2:7002\nunknown_to_us = 1\n',
  );

  test('is read, and flags win over it', () => {
    const seen = config(['-c', path, '--min_free_space=9']);
    expect(seen).toMatchObject({
      dsn: 'DBI:mysql:fromfile',
      dbUser: 'someone',
      freeSpaceMinMb: 9,
    });
  });

  test('needs a blank after the name, as the original does', () => {
    expect(config(['-c', path]).listen).toEqual([
      { host: '127.0.0.1', port: 7001 },
      { host: '127.0.0.2', port: 7002 },
    ]);
  });
});
