/** `omgfs admin check` and `omgfs admin status`: is everything well? */
import { createAdmin, type DeviceInfo, type HostInfo } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { formatBytes, printJson, printLine } from '../output.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { get } from './get.ts';
import { noteOn } from './namespace.ts';
import { printFacts, printTable } from './table.ts';

const answerMsMax = 5_000;
const mebibyte = 1024 * 1024;

export function addCheckCommands(admin: Command, withAdmin: WithAdmin): void {
  admin
    .command('check')
    .description(
      'ask every tracker, storage node and device, and give a verdict on all and classes',
    )
    .addHelpText('after', '\nExit code 1 when something is not well.\n')
    .action(withAdmin(check));
  admin.command('status').description('the cluster at a glance').action(withAdmin(status));
}

interface Verdict {
  kind: 'tracker' | 'host' | 'device' | 'class';
  name: string;
  ok: boolean;
  /** What is wrong, or what was measured. */
  detail: string;
  ms: number;
}

async function check(context: AdminContext): Promise<void> {
  const { trackers, json } = context;
  const verdicts = await Promise.all(trackers.map(checkTracker));
  const answering = verdicts.find(({ ok }) => ok);
  if (answering !== undefined) verdicts.push(...(await checkMachines(context)));
  // While a machine is away, what classes lack is its consequence.
  if (verdicts.every(({ ok }) => ok)) verdicts.push(...(await checkClasses(context)));
  printTable(verdicts, {
    json,
    columns: {
      WHAT: (one) => one.kind,
      NAME: (one) => one.name,
      VERDICT: (one) => (one.ok ? 'ok' : 'NOT OK'),
      MS: (one) => Math.round(one.ms),
      DETAIL: (one) => one.detail,
    },
  });
  const bad = verdicts.filter(({ ok }) => !ok).length;
  if (bad > 0) {
    throw new OmgfsError('FAILURE', { message: `${bad} of ${verdicts.length} are not well` });
  }
  if (!json) printLine(`\nAll ${verdicts.length} are well.`);
}

async function judged(
  what: Pick<Verdict, 'kind' | 'name'>,
  ask: () => Promise<string>,
): Promise<Verdict> {
  const startedMs = performance.now();
  try {
    const detail = await ask();
    return { ...what, ok: true, detail, ms: performance.now() - startedMs };
  } catch (error) {
    const detail = toOmgfsError(error).message;
    return { ...what, ok: false, detail, ms: performance.now() - startedMs };
  }
}

function checkTracker(address: string): Promise<Verdict> {
  return judged({ kind: 'tracker', name: address }, async () => {
    const one = createAdmin({ trackers: [address], requestTimeoutMs: answerMsMax });
    try {
      const domains = await one.domains();
      return `${domains.length} domains`;
    } finally {
      await one.close();
    }
  });
}

async function checkMachines({ admin }: AdminContext): Promise<Verdict[]> {
  const [hosts, devices] = await Promise.all([admin.hosts(), admin.devices()]);
  const asked = hosts.filter(({ status }) => status !== 'dead');
  const byHost = await Promise.all(
    asked.map(async (host) => {
      const own = devices.filter((one) => one.host === host.name && one.status !== 'dead');
      return [await checkHost(host), ...(await Promise.all(own.map((d) => checkDevice(host, d))))];
    }),
  );
  return byHost.flat();
}

/** Those that want what the cluster does not have; trackers of MogileFS cannot tell. */
async function checkClasses({ admin }: AdminContext): Promise<Verdict[]> {
  const domains = await admin.domains();
  const places = domains.flatMap(({ name: domain, classes }) =>
    classes.map((one) => ({ domain, class: one.name })),
  );
  const verdicts = places.map((place) =>
    judged({ kind: 'class', name: `${place.class} of ${place.domain}` }, async () => {
      const note = await noteOn(admin, place);
      if (note !== undefined) throw new Error(note);
      return '';
    }),
  );
  return (await Promise.all(verdicts)).filter(({ ok }) => !ok);
}

function checkHost(host: HostInfo): Promise<Verdict> {
  return judged({ kind: 'host', name: host.name }, async () => {
    if (host.status === 'down') throw new Error('is marked down');
    const { status } = await get(`http://${host.ip}:${host.port}/`, answerMsMax);
    if (status >= 500) throw new Error(`answered ${status} on port ${host.port}`);
    return `${host.ip}:${host.port}`;
  });
}

function checkDevice(host: HostInfo, device: DeviceInfo): Promise<Verdict> {
  const { devid, status: marked, observed } = device;
  return judged({ kind: 'device', name: `dev${devid} on ${host.name}` }, async () => {
    if (marked === 'down') throw new Error('is marked down');
    const url = `http://${host.ip}:${host.getport ?? host.port}/dev${devid}/usage`;
    const { status, text } = await get(url, answerMsMax);
    if (status !== 200) throw new Error(`answered ${status} for its usage: ${text.trim()}`);
    const wanted = marked === 'alive' || marked === 'drain' ? 'writeable' : 'readable';
    if (observed !== wanted && !(wanted === 'readable' && observed === 'writeable')) {
      throw new Error(`is ${observed ?? 'not seen'} by the tracker, not ${wanted}`);
    }
    const used = /^used:\s*(\d+)/m.exec(text)?.[1];
    const total = /^total:\s*(\d+)/m.exec(text)?.[1];
    if (used === undefined || total === undefined) throw new Error('its usage has no numbers');
    return `${marked}, ${((100 * Number(used)) / Number(total)).toFixed(1)}% used`;
  });
}

async function status({ admin, trackers, json }: AdminContext): Promise<void> {
  const [domains, hosts, devices, fsck] = await Promise.all([
    admin.domains(),
    admin.hosts(),
    admin.devices(),
    admin.fsckStatus().catch(() => undefined),
  ]);
  const known = devices.filter(({ status: marked }) => marked !== 'dead');
  const sum = (field: 'mbUsed' | 'mbTotal') =>
    known.reduce((total, one) => total + (one[field] ?? 0), 0);
  const facts = {
    trackers: trackers.length,
    domains: domains.length,
    hosts: counted(hosts.map((one) => one.status)),
    devices: counted(devices.map((one) => one.status)),
    seen: counted(known.map((one) => one.observed ?? 'not seen')),
    used: formatBytes(sum('mbUsed') * mebibyte),
    total: formatBytes(sum('mbTotal') * mebibyte),
    fsck: fsck?.running ? `runs on ${fsck.host}, fid ${fsck.position} of ${fsck.end}` : 'idle',
  };
  if (json) printJson(facts);
  else printFacts(facts, { json });
}

/** `3 alive, 1 down`. */
function counted(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} ${word}`).join(', ') || 'none';
}
