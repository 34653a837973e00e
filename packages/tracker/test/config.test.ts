import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { optionTable } from '../src/options.ts';

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
    expect(config(['-s', '--no-job_master']).jobMaster).toBe(false);
    expect(config(['-s']).jobMaster).toBe(true);
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

  test.each([
    ['--query_jobs=', /query_jobs must be a whole number, 0 or more, not ''/],
    ['--replicate_jobs=1.5', /replicate_jobs must be a whole number/],
    ['--conf_port=70000', /conf_port must be a whole number, 0 to 65535/],
    ['--mogstored_stream_port=70000', /mogstored_stream_port must be .* 65535/],
    ['--default_mindevcount=0', /default_mindevcount must be .* 1 to 255/],
    ['--node_timeout=0', /node_timeout must be a number, 0\.01 or more/],
    ['--listen=999.1.1.1', /listen: '999\.1\.1\.1' is not ip/],
    ['--http_listen=x', /http_listen: 'x' is not ip/],
    ['--http_allow=10', /http_allow: '10' is not ip/],
    ['--log_level=loud', /log_level must be .*not 'loud'/],
    ['--local_network=abc', /local_network: 'abc' is not ip/],
    ['--d=1', /unknown option --d;/],
    ['--work=1', /unknown option --work;/],
  ])('%s says what is wrong', (flag, reason) => {
    expect(refusal(['-s', flag])).toMatch(reason);
  });

  test('names may be cut while they stay clear', () => {
    const seen = config([
      '--skip',
      '--query-j=2',
      '--min-free=7',
      '--dae',
      '--local',
      '10.1.0.0/16',
    ]);
    expect(seen).toMatchObject({ queryWorkers: 2, freeSpaceMinMb: 7, daemonize: true });
    expect(seen.localNetwork).toBe('10.1.0.0/16');
  });

  test('fewer query processes than were asked for are said', () => {
    const seen = config(['-s', '--workers=400', '--dsn=DBI:mysql:m']);
    expect(seen.warnings).toEqual([expect.stringMatching(/^option query_jobs asks for 400 /)]);
    expect(seen.queryProcesses).toBeLessThan(400);
    const one = config(['-s', '--workers=20', '--dsn=DBI:SQLite:/x']);
    expect(one.warnings).toEqual([expect.stringMatching(/20 .* one process does all work/)]);
    for (const args of [['--workers=1'], ['--workers=20', '--query_processes=2']]) {
      expect(config(['-s', ...args]).warnings).toEqual([]);
    }
  });

  test('help names every option', () => {
    const line = readConfig(['--help'], {});
    expect(line.action === 'help' && line.text).toMatch(/--dsn TEXT.*--create_schema/s);
  });
});

describe('the file', () => {
  let files = 0;

  function fileOf(...lines: string[]): string {
    const path = join(dir, `mogilefsd${files}.conf`);
    files += 1;
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  }

  const path = fileOf(
    '# a comment',
    '',
    'db_dsn = DBI:mysql:fromfile',
    'db_user  someone',
    'min_free_space = 7',
    'listen = 127.0.0.1, 127.0.0.2:7002',
    'job_master 0',
  );

  test('is read, and flags win over it', () => {
    const seen = config(['-c', path, '--min_free_space=9']);
    expect(seen).toMatchObject({
      dsn: 'DBI:mysql:fromfile',
      dbUser: 'someone',
      freeSpaceMinMb: 9,
      jobMaster: false,
      warnings: [],
    });
    expect(seen.listen).toEqual([
      { host: '127.0.0.1', port: 7001 },
      { host: '127.0.0.2', port: 7002 },
    ]);
  });

  test('needs a blank after the name, as the original does', () => {
    expect(refusal(['-c', fileOf('db_user = u', 'conf_port=7777')])).toMatch(/\.conf, line 2: /);
  });

  test.each([
    ['min_free_spcae = 7', /'min_free_spcae' in .* did you mean min_free_space\?/],
    ['dsn = DBI:mysql:x', /'dsn' .* in the file it is db_dsn/],
    ['filepaths.something = secret', /no option has that name$/],
    ['help = 1', /no option has that name$/],
    ['user = mogile', /^option user has no effect: /],
    ['plugins = ZoneLocal, FilePaths', /^plugin FilePaths has no effect: /],
  ])('%s is said to have no effect', (line, warning) => {
    const { warnings } = config(['-c', fileOf(line)]);
    expect(warnings).toEqual([expect.stringMatching(warning)]);
    expect(warnings.join()).not.toContain('secret');
  });

  test.each(['url_secret', 'http_token', 'http_read_token', 'http_allow'])(
    'an empty %s lets nobody in by mistake',
    (name) => expect(refusal(['-s', `--${name}=`])).toMatch(`${name} is empty`),
  );

  test('what is neither on nor off is refused', () => {
    expect(refusal(['-c', fileOf('job_master = perhaps')])).toMatch(/job_master must be 1 or 0/);
  });

  test('the old name of query_jobs counts', () => {
    const seen = fileOf('listener_jobs = 1', 'db_dsn = DBI:mysql:x');
    expect(config(['-c', seen]).warnings).toEqual([]);
  });
});

describe('spellings of the original', () => {
  test.each([
    [['-s', '--no_http', '--workerport=7001'], { logLevel: 'info' }],
    [['-sdd'], { logLevel: 'debug' }],
    [['-s', '--debug=0'], { logLevel: 'info' }],
    [['-s', '--dbpass', '--dbuser=u'], { dbPassword: '', dbUser: 'u' }],
    [['-s', '--dbuser=u', '--dbpass'], { dbPassword: '', dbUser: 'u' }],
    [['-s', '--dbpass', 'p', '--repl_use_get_port', '1'], { dbPassword: 'p' }],
    [['-s', '--plugins=ZoneLocal', '--plugins=Other'], { zoneLocal: true }],
    [['-s', '--job-master'], { jobMaster: true }],
  ])('%j', (argv, expected) => {
    expect(config(argv)).toMatchObject(expected);
  });

  test('the hooks of its test-suite', () => {
    const hooks = { TESTING: '1', T_TEMPFILE_TOO_OLD: '5', T_FAKE_IO_DEV2: '95', DEBUG: '1' };
    expect(config(['-s'], hooks)).toMatchObject({
      testing: true,
      tempfileAgeSeconds: 5,
      fakeUtilization: new Map([[2, '95']]),
      logLevel: 'debug',
      warnings: [expect.stringMatching(/^TESTING is set/)],
    });
    expect(config(['-s'], { T_TEMPFILE_TOO_OLD: '' }).tempfileAgeSeconds).toBe(3600);
    const wrong = readConfig(['-s'], { T_TEMPFILE_TOO_OLD: 'soon' });
    expect(wrong).toMatchObject({ reason: expect.stringMatching(/^T_TEMPFILE_TOO_OLD .*'soon'/) });
    const { fakeUtilization, testing } = config(['-s'], { T_FAKE_IO_DEV2: '95', TESTING: '0' });
    expect({ fakeUtilization, testing }).toEqual({ fakeUtilization: new Map(), testing: false });
  });
});

describe('docs/reference/mogilefsd.md', () => {
  const text = readFileSync(
    new URL('../../../docs/reference/mogilefsd.md', import.meta.url),
    'utf8',
  );

  test('tells every option with its default, and nothing else', () => {
    const rows = [...text.matchAll(/^\| `(\w+)`[^|\n]*\|[^|\n]*\|([^|\n]*)\|/gm)].map((match) => {
      return `${match[1]}: ${match[2]?.replaceAll('`', '').trim()}`;
    });
    const options = optionTable.map(({ name, kind, fallback }) => {
      return `${name}: ${fallback ?? (kind === 'flag' ? '0' : '')}`;
    });
    expect(rows.toSorted()).toEqual(options.toSorted());
  });
});
