/** The servers that the tests run for real, from the system's packages. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { step } from './bootstrap.mjs';

const wanted = [
  { programs: ['mariadbd', 'mysqld'], apt: 'mariadb-server', unless: 'OMGFS_TEST_MYSQL' },
  { programs: ['nginx'], apt: 'nginx' },
  { programs: ['perlbal'], apt: 'perlbal' },
  { programs: ['litmus'], apt: 'litmus' },
  { programs: ['cadaver'], apt: 'cadaver' },
  { programs: ['rclone'], apt: 'rclone' },
  { programs: ['rsync'], apt: 'rsync' },
  { programs: ['openssl'], apt: 'openssl' },
  { programs: ['ss'], apt: 'iproute2' },
  { programs: ['strace'], apt: 'strace' },
  { programs: ['/usr/lib/galera/libgalera_smm.so', '/usr/lib/libgalera_smm.so'], apt: 'galera-4' },
  { programs: ['chromium'], apt: 'chromium' },
];

/** Installs what is missing, if it may; otherwise says what to do and ends this process. */
export function getServers() {
  const missing = wanted.filter(({ programs, unless }) => {
    return !(unless && process.env[unless]) && !programs.some(isInstalled);
  });
  if (missing.length === 0) return;
  const packages = missing.map(({ apt }) => apt);
  const sudo = process.getuid() === 0 ? [] : ['sudo', '-n'];
  if (isInstalled('apt-get') && (sudo.length === 0 || mayBecomeRoot())) {
    step(`Installing ${packages.join(', ')}`);
    run([...sudo, 'apt-get', 'update', '-q']);
    const flags = ['-q', '-y', '--no-install-recommends'];
    run([
      ...sudo,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      'install',
      ...flags,
      ...packages,
    ]);
  }
  const still = missing.filter(({ programs }) => !programs.some(isInstalled));
  if (still.length === 0) return;
  const list = still.map(({ apt }) => apt);
  process.stderr.write(
    `The tests need ${list.join(', ')}. Install them, on Debian by\n` +
      `  sudo apt-get install ${list.join(' ')}\n` +
      'A database server that runs already can be named instead by\n' +
      '  OMGFS_TEST_MYSQL=mysql://user:password@host:port\n' +
      '(the user must be able to create databases).\n',
  );
  process.exit(1);
}

function isInstalled(program) {
  if (isAbsolute(program)) return existsSync(program);
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return dirs.some((dir) => existsSync(join(dir, program)));
}

function mayBecomeRoot() {
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
}

function run([command, ...args]) {
  spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
}
