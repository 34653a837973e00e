/**
 * `/metrics`: what the tracker counts and what it knows of the cluster. Every tracker tells the
 * whole cluster's queues and devices, so that a monitoring system needs only one that answers.
 */
import { expose, type Family, type Labels, listOf, type Sample } from '@omgfs/protocol';
import { bucketSeconds, type CommandCount, sumCounts } from '../figures/command-counts.ts';
import type { Survey } from '../figures/survey.ts';
import type { Api, JsonFields } from './api.ts';

/** Queues are counted row by row, and somebody might collect from a tracker every second. */
const reuseMs = 5_000;
const mebibyte = 1024 * 1024;
const deviceStates = ['alive', 'readonly', 'drain', 'down', 'dead'];
const hostStates = ['alive', 'readonly', 'down', 'dead'];

interface Stored {
  queues: JsonFields[];
  fsck: JsonFields;
}

export class Metrics {
  #stored: { part: Promise<Stored | undefined>; atMs: number } | undefined;

  /**
   * The page. Figures of the database are at most five seconds old, and left out while it is away.
   * Rejects with DB_DOWN when it was not reached since the start.
   */
  async text(api: Api, survey: () => Promise<Survey>): Promise<string> {
    const [process, hosts, devices, stored] = await Promise.all([
      survey(),
      list(api, { command: 'get_hosts', prefix: 'host', count: 'hosts' }),
      list(api, { command: 'get_devices', prefix: 'dev', count: 'devices' }),
      this.#fromDatabase(api),
    ]);
    const isUp = [one(stored !== undefined)];
    return expose([
      gauge('omgfs_database_up', 'Whether the database answered.', isUp),
      ...processFamilies(process),
      ...commandFamilies(process),
      ...queueFamilies(stored?.queues ?? []),
      ...hostFamilies(hosts),
      ...deviceFamilies(devices, hosts),
      ...fsckFamilies(stored?.fsck ?? {}),
    ]);
  }

  #fromDatabase(api: Api): Promise<Stored | undefined> {
    const nowMs = performance.now();
    if (this.#stored === undefined || nowMs - this.#stored.atMs > reuseMs) {
      this.#stored = { part: askDatabase(api).catch(() => undefined), atMs: nowMs };
    }
    return this.#stored.part;
  }
}

async function askDatabase(api: Api): Promise<Stored> {
  const [queues, fsck] = await Promise.all([
    list(api, { command: 'queue_stats', prefix: 'queue', count: 'queues' }),
    api.call('fsck_status'),
  ]);
  return { queues, fsck };
}

async function list(
  api: Api,
  { command, prefix, count }: { command: string; prefix: string; count: string },
): Promise<JsonFields[]> {
  const reply = await api.call(command);
  return listOf(reply, { prefix, total: reply[count] });
}

function processFamilies({ uptimeSeconds, servers, past, jobs, http }: Survey): Family[] {
  const total = (of: (server: Survey['servers'][number]) => number) =>
    servers.reduce((sum, server) => sum + of(server), 0);
  const memory = [
    ...servers.map(({ pid, residentBytes }) => sample(residentBytes, { process: 'query', pid })),
    sample(jobs.residentBytes, { process: 'jobs', pid: jobs.pid }),
    ...(http ? [sample(http.residentBytes, { process: 'http', pid: http.pid })] : []),
  ];
  const working = jobs.jobs.map(({ name, count }) => sample(count, { job: name }));
  const wanted = jobs.jobs.map(({ name, desired }) => sample(desired, { job: name }));
  const units = new Map<string, number>();
  for (const [job, count] of [...past.sent, ...jobs.sent]) {
    units.set(job, (units.get(job) ?? 0) + count);
  }
  return [
    gauge('omgfs_uptime_seconds', 'Since the tracker was started.', [sample(uptimeSeconds)]),
    gauge('omgfs_resident_bytes', 'Memory of each process.', memory),
    counter('omgfs_requests_total', 'Requests answered on the line protocol.', [
      sample(past.queries + total(({ queries }) => queries)),
    ]),
    gauge('omgfs_requests_in_flight', 'Requests being executed.', [
      sample(total(({ processing }) => processing)),
    ]),
    gauge('omgfs_requests_waiting', 'Requests that wait for the tracker to be ready.', [
      sample(total(({ waitingCount }) => waitingCount)),
    ]),
    gauge('omgfs_job_running', 'How many of a job run at once.', working),
    gauge('omgfs_job_wanted', 'How many of a job may run at once.', wanted),
    counter(
      'omgfs_job_units_total',
      'Units of work that this tracker began.',
      [...units].map(([job, count]) => sample(count, { job })),
    ),
  ];
}

function commandFamilies({ past, http, servers }: Survey): Family[] {
  const counts = sumCounts([
    ...past.commands,
    ...(http?.commands ?? []),
    ...servers.flatMap(({ commands }) => commands),
  ]);
  return [
    {
      name: 'omgfs_command_seconds',
      type: 'histogram',
      help: 'Time until a command was answered.',
      samples: counts.flatMap(histogramOf),
    },
    counter(
      'omgfs_command_failures_total',
      'Commands answered with an error.',
      counts.map(({ command, failed }) => sample(failed, { command })),
    ),
  ];
}

function histogramOf({ command, seconds, buckets }: CommandCount): Sample[] {
  let below = 0;
  const samples = buckets.map((count, at) => {
    below += count;
    const le = bucketSeconds[at] ?? '+Inf';
    return { labels: { command, le }, value: below, suffix: '_bucket' };
  });
  return [
    ...samples,
    { labels: { command }, value: seconds, suffix: '_sum' },
    { labels: { command }, value: below, suffix: '_count' },
  ];
}

function queueFamilies(queues: readonly JsonFields[]): Family[] {
  const states = ['total', 'due', 'working', 'parked', 'failed'];
  const each = (of: (queue: JsonFields, labels: Labels) => Sample[]) =>
    queues.flatMap((queue) => of(queue, { queue: String(queue.name) }));
  return [
    gauge(
      'omgfs_queue_rows',
      'Rows of a queue of the cluster, in all and by state.',
      each((queue, labels) =>
        states.map((state) => sample(Number(queue[state]), { ...labels, state })),
      ),
    ),
    gauge(
      'omgfs_queue_oldest_due_seconds',
      'How long the oldest row that may be worked on has waited.',
      each((queue, labels) => [sample(Number(queue.oldest_due), labels)]),
    ),
  ];
}

function hostFamilies(hosts: readonly JsonFields[]): Family[] {
  return [
    gauge(
      'omgfs_host_state',
      'Which state a host was given: 1 for that one.',
      hosts.flatMap(({ hostname, status }) =>
        hostStates.map((state) => one(state === status, { host: String(hostname), state })),
      ),
    ),
  ];
}

function deviceFamilies(devices: readonly JsonFields[], hosts: readonly JsonFields[]): Family[] {
  const names = new Map(hosts.map(({ hostid, hostname }) => [hostid, String(hostname)]));
  const labelsOf = ({ devid, hostid }: JsonFields): Labels => {
    return { devid: String(devid), host: names.get(hostid) ?? String(hostid) };
  };
  /** Of devices that have told the figure. */
  const figures = (name: string, factor = 1) =>
    devices.flatMap((device) => {
      const value = device[name];
      const told = value !== null && value !== undefined && value !== '';
      return told ? [sample(Number(value) * factor, labelsOf(device))] : [];
    });
  return [
    gauge(
      'omgfs_device_state',
      'Which state a device was given: 1 for that one.',
      devices.flatMap((device) =>
        deviceStates.map((state) => one(state === device.status, { ...labelsOf(device), state })),
      ),
    ),
    gauge(
      'omgfs_device_readable',
      'Whether this tracker can read from the device.',
      devices.map((device) => {
        const seen = device.observed_state;
        return one(seen === 'readable' || seen === 'writeable', labelsOf(device));
      }),
    ),
    gauge(
      'omgfs_device_writeable',
      'Whether this tracker could write to the device.',
      devices.map((device) => one(device.observed_state === 'writeable', labelsOf(device))),
    ),
    gauge('omgfs_device_size_bytes', 'Size of the disk.', figures('mb_total', mebibyte)),
    gauge('omgfs_device_used_bytes', 'Used on the disk.', figures('mb_used', mebibyte)),
    gauge('omgfs_device_weight', 'Its weight for new files.', figures('weight')),
    gauge(
      'omgfs_device_busy_ratio',
      'Share of time the disk was busy.',
      figures('utilization', 0.01),
    ),
    gauge(
      'omgfs_device_report_timestamp_seconds',
      'When any tracker last got figures of the disk, in Unix time.',
      figures('mb_asof'),
    ),
  ];
}

function fsckFamilies(fsck: JsonFields): Family[] {
  if (fsck.running === undefined) return [];
  const number = (name: string) => Number(fsck[name] ?? 0);
  const found = Object.entries(fsck).filter(([name]) => name.startsWith('num_'));
  return [
    gauge('omgfs_fsck_running', 'Whether files are being checked.', [sample(number('running'))]),
    gauge('omgfs_fsck_position_fid', 'How far the check got.', [sample(number('max_fid_checked'))]),
    gauge('omgfs_fsck_end_fid', 'Where the check ends.', [sample(number('end_fid'))]),
    gauge(
      'omgfs_fsck_findings',
      'What the log of the check holds, by code.',
      found.map(([name, count]) => sample(Number(count), { code: name.slice('num_'.length) })),
    ),
  ];
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'counter', help, samples };
}

function sample(value: number, labels: Labels = {}): Sample {
  return { value, labels };
}

function one(holds: boolean, labels: Labels = {}): Sample {
  return sample(holds ? 1 : 0, labels);
}
