/** Judges the facts of an existing database: what omgfs does differently, what is unsafe. Pure. */
import { classObstacle } from '../../placement/class-obstacle.ts';
import type { PolicyDevice } from '../../placement/contract.ts';
import { Networks } from '../../placement/networks.ts';
import { askPolicy, parsePolicy } from '../../placement/policy.ts';
import { schemaVersion } from '../../store/migrations.ts';
import { countMax, type DatabaseFacts } from '../../store/schema/inspect.ts';
import { fidBits } from '../../store/schema/table-text.ts';
import { mayCreate } from './grants.ts';

export interface Finding {
  /** `unsafe` must be solved before omgfs runs on the database; a `note` is to be known. */
  level: 'fine' | 'note' | 'unsafe';
  /** A stable name, for scripts. */
  about: string;
  text: string;
}

const fine = (about: string, text: string): Finding => ({ level: 'fine', about, text });
const note = (about: string, text: string): Finding => ({ level: 'note', about, text });
const unsafe = (about: string, text: string): Finding => ({ level: 'unsafe', about, text });

/** Everything worth saying about a database. */
export function judge(facts: DatabaseFacts): Finding[] {
  return [
    judgeVersion(facts),
    ...judgeTables(facts),
    ...judgeFids(facts),
    judgeKeys(facts),
    ...judgeServer(facts),
    ...judgeRows(facts),
    ...judgeClasses(facts),
    ...judgeQueues(facts),
    ...judgeSettings(facts),
  ];
}

function judgeVersion({ settings }: DatabaseFacts): Finding {
  const version = settings.get('schema_version');
  if (version === undefined) {
    return unsafe('schema', 'there is no schema_version: is this a MogileFS database?');
  }
  if (version === `${schemaVersion}`) return fine('schema', `schema ${version}`);
  if (Number(version) > schemaVersion) {
    return unsafe('schema', `schema ${version} is newer than ${schemaVersion}; upgrade omgfs`);
  }
  return unsafe('schema', `schema ${version}, not ${schemaVersion}; upgrade it with mogdbsetup`);
}

function judgeTables({ missing, tables }: DatabaseFacts): Finding[] {
  const findings: Finding[] = [];
  if (missing.length > 0) {
    findings.push(unsafe('tables', `missing: ${missing.join(', ')}; run mogdbsetup`));
  }
  const others = [...tables].filter(([, { engine }]) => !/^(?:innodb|sqlite)$/.test(engine));
  if (others.length > 0) {
    const names = others.map(([name, { engine }]) => `${name} (${engine})`).join(', ');
    const text = `no transactions, a crash can lose acknowledged files: ${names}`;
    findings.push(unsafe('engine', `${text}; ALTER TABLE … ENGINE=InnoDB`));
  }
  return findings;
}

function judgeFids({ engine, tables, fidMax }: DatabaseFacts): Finding[] {
  const bitsOf = (definition: string | undefined) =>
    engine === 'sqlite' ? 64 : fidBits(definition);
  const bits = bitsOf(tables.get('file')?.columns.get('fid'));
  const used = fidMax / (bits === 32 ? 2 ** 32 : Number.MAX_SAFE_INTEGER);
  const share = `${(used * 100).toFixed(1)} % used`;
  const text = `fids have ${bits} bits, the highest is ${fidMax}, ${share}`;
  const judged = used > 0.9 ? unsafe : used > 0.5 ? note : fine;
  const narrow = [...tables].filter(([, { columns }]) => {
    return columns.has('fid') && bitsOf(columns.get('fid')) < bits;
  });
  if (narrow.length === 0) return [judged('fids', text)];
  const names = narrow.map(([name]) => name).join(', ');
  return [judged('fids', text), unsafe('fid-width', `fids narrower than in file: ${names}`)];
}

function judgeKeys({ engine, tables }: DatabaseFacts): Finding {
  const file = tables.get('file');
  const definition = file?.columns.get('dkey') ?? '';
  if (engine === 'sqlite' || /binary|blob/.test(definition)) {
    return fine('keys', 'keys are bytes: every difference counts');
  }
  const named = /collate (\w+)/.exec(definition)?.[1] || file?.collation || file?.charset;
  const text = `keys are text in ${named || 'the default collation'}`;
  return note('keys', `${text}: it decides which spellings are one key, as with MogileFS`);
}

function judgeServer({ engine, version, database, sqlMode, galera, grants }: DatabaseFacts) {
  const findings = [fine('server', `${engine} ${version}`)];
  if (engine === 'sqlite') return findings;
  if (!/STRICT_/.test(sqlMode)) {
    const text = 'the server is not strict: Perl trackers cut long values where omgfs refuses them';
    findings.push(note('sql-mode', text));
  }
  if (galera) {
    const text = 'GET_LOCK counts on one node only: let Perl trackers use one and the same node';
    findings.push(note('galera', `this is a Galera node; ${text}`));
  }
  findings.push(
    mayCreate(grants, database)
      ? fine('grants', 'the account may create the tables that omgfs adds (omg_…)')
      : note('grants', 'no CREATE right is seen: omgfs cannot make its omg_ tables'),
  );
  return findings;
}

function judgeRows(facts: DatabaseFacts): Finding[] {
  const { classes, dmids, devices, fileClasses, replicaDevids } = facts;
  const pair = (row: { dmid: number; classid: number }) => `${row.dmid}/${row.classid}`;
  const domains = new Set(dmids);
  const hosts = new Set(facts.hosts.map(({ hostid }) => hostid));
  const devids = new Set(devices.map(({ devid }) => devid));
  const known = new Set(classes.map(pair));
  const lost = fileClasses.filter(({ dmid }) => !domains.has(dmid));
  const unclassed = fileClasses.filter((row) => row.classid !== 0 && !known.has(pair(row)));
  const unknown = classes.filter(({ policy }) => !parsePolicy(policy).known);
  const orphans = devices.filter(({ hostid }) => !hosts.has(hostid));
  return [
    ...listed('domains', 'files of domains that are gone (dmid/classid)', lost.map(pair)),
    ...listed('classes', 'files of classes that are gone (dmid/classid)', unclassed.map(pair)),
    ...listed(
      'policies',
      'classes with policies unknown here; their files stay as they are',
      unknown.map(({ name, policy }) => `${name} ${policy}`),
    ),
    ...listed(
      'replicas',
      'file_on names devices that are gone',
      replicaDevids.filter((devid) => !devids.has(devid)),
    ),
    ...listed(
      'devices',
      'devices of hosts that are gone',
      orphans.map(({ devid }) => devid),
    ),
  ];
}

/** As `omgfs admin check` does, which also knows what answers. */
function judgeClasses({ classes, hosts, devices, settings }: DatabaseFacts): Finding[] {
  const networks = new Networks((field) => settings.get(field));
  const hostOf = new Map(hosts.map((host) => [host.hostid, host]));
  const known = devices.map(({ devid, hostid, status, weight }): PolicyDevice => {
    const host = hostOf.get(hostid);
    const writable = host?.status === 'alive' && status === 'alive' && weight > 0;
    return {
      ...{ devid, hostid, weight, freeShare: 1, takesFiles: writable },
      ...{ network: networks.of(host?.hostip ?? ''), alive: status === 'alive' },
      dead: status === 'dead',
    };
  });
  const impossible = classes.flatMap(({ name, mindevcount, policy }) => {
    if (!parsePolicy(policy).known) return [];
    const wants = { mindevcount, replpolicy: policy };
    const obstacle = classObstacle(wants, {
      ask: (devids) => {
        const holding = known.filter(({ devid }) => devids.includes(devid));
        const question = { holding, devices: known, failed: new Set<number>() };
        return askPolicy(wants, { ...question, random: () => 0.5 });
      },
      hostOf: (devid) => known.find((device) => device.devid === devid)?.hostid,
    });
    return obstacle === undefined ? [] : [`${name} (${obstacle})`];
  });
  return listed('impossible', 'classes that cannot have their copies as they want', impossible);
}

const namesMax = 10;

function listed(about: string, text: string, names: readonly (number | string)[]): Finding[] {
  if (names.length === 0) return [];
  const more = names.length > namesMax ? ` and ${names.length - namesMax} more` : '';
  return [note(about, `${text}: ${names.slice(0, namesMax).join(', ')}${more}`)];
}

function judgeQueues({ queues }: DatabaseFacts): Finding[] {
  const shown = (count: number) => (count === countMax ? `${count} or more` : `${count}`);
  return queues.map(({ name, rows, parked }) => {
    const text = `${name}: ${shown(rows)} rows, ${shown(parked)} parked for an operator`;
    return parked > 0 ? note('queues', text) : fine('queues', text);
  });
}

function judgeSettings({ settings }: DatabaseFacts): Finding[] {
  const findings: Finding[] = [];
  const add = (about: string, name: string, text: string) => {
    const value = settings.get(name);
    if (value) findings.push(note(about, `${name} is ${value}: ${text}`));
  };
  add('fsck', 'fsck_host', 'a check of all files is under way; stop it first or let it end');
  add('rebalance', 'rebal_host', 'a rebalance is under way; stop it first or let it end');
  add('memcache', 'memcache_servers', 'omgfs does not read it, but removes from it what changes');
  // Their own settings hold passwords and are not shown.
  add('replica-databases', 'slave_keys', 'lookups may go to these replica databases');
  return findings;
}
