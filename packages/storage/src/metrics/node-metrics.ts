/** `/metrics` of a storage node: what it served, and how its disks and their scrubs are. */
import { expose, type Family, type Labels, type Sample } from '@omgfs/protocol';
import type { Buffers } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { inTime } from '../device/io/in-time.ts';
import type { ScrubReport } from '../integrity/scrub-report.ts';
import type { Scrubs } from '../integrity/scrubs.ts';
import type { Nginx, NginxStatus } from '../nginx/nginx.ts';
import type { Utilization } from '../side-channel/utilization.ts';
import type { RequestCounts } from './request-counts.ts';

export interface NodeMetricsParts {
  devices: Devices;
  scrubs: Scrubs;
  buffers: Buffers;
  counts: RequestCounts;
  utilization: Utilization;
  nginx: Nginx | undefined;
  servers: readonly { readonly connections: Promise<number> }[];
}

const states = ['ready', 'readable', 'refused'] as const;
/** The report of a scrub lies on its disk, which may hang. */
const answerMsMax = 500;

/** The page; a disk that hangs leaves gaps in it and holds up nothing. */
export async function nodeMetrics(parts: NodeMetricsParts): Promise<string> {
  const [connections, busy, scrubs, front] = await Promise.all([
    Promise.all(parts.servers.map((server) => server.connections)),
    parts.utilization.busySeconds(),
    reportsOf(parts),
    parts.nginx?.status(),
  ]);
  return expose([
    ...processFamilies(
      parts,
      connections.reduce((sum, count) => sum + count, 0),
    ),
    ...(front === undefined ? [] : frontFamilies(front)),
    ...deviceFamilies(parts.devices.all()),
    counter(
      'device_busy_seconds_total',
      'Time the disk had requests in work, since the machine was started.',
      [...busy].map(([devid, value]) => ({ labels: { devid }, value })),
    ),
    ...scrubFamilies(scrubs),
  ]);
}

function processFamilies({ buffers, counts }: NodeMetricsParts, connections: number): Family[] {
  const requests = [...counts.all()].map(({ method, status, count }) => ({
    labels: { method, status: status ?? 'cut' },
    value: count,
  }));
  return [
    gauge('uptime_seconds', 'Since the node was started.', [{ value: process.uptime() }]),
    gauge('resident_bytes', 'Memory of the process.', [{ value: process.memoryUsage.rss() }]),
    gauge('buffer_bytes', 'Memory for bodies in flight.', [{ value: buffers.usedBytes }]),
    gauge('connections', 'Open connections of clients.', [{ value: connections }]),
    counter('connections_dropped_total', 'Closed at once, because there were too many.', [
      { value: counts.dropped },
    ]),
    counter('requests_total', 'Requests that were answered, or cut before their answer.', requests),
  ];
}

/** nginx counts neither methods nor statuses. */
function frontFamilies({ connections, requests }: NginxStatus): Family[] {
  return [
    gauge('nginx_connections', 'Open connections of nginx.', [{ value: connections }]),
    counter('nginx_requests_total', 'Requests to nginx, also those that came to the node.', [
      { value: requests },
    ]),
  ];
}

function deviceFamilies(devices: readonly Device[]): Family[] {
  const each = (figureOf: (device: Device) => number | undefined): Sample[] =>
    devices.flatMap((device) => {
      const value = figureOf(device);
      return value === undefined ? [] : [{ labels: { devid: device.devid }, value }];
    });
  const ofDisk = (blocksOf: (disk: NonNullable<Device['fileSystem']>) => number) =>
    each(({ fileSystem: disk }) => disk && blocksOf(disk));
  const calls = (state: 'running' | 'waiting') =>
    each(({ calls: now }) => now[state]).map((sample) => labelled(sample, { state }));
  return [
    gauge(
      'device_state',
      '1 for what the node thinks of the disk, 0 for the others.',
      states.flatMap((state) =>
        each((device) => Number(device.state === state)).map((sample) =>
          labelled(sample, { state }),
        ),
      ),
    ),
    gauge(
      'device_size_bytes',
      'Of the file system.',
      ofDisk((disk) => disk.blocks * disk.bsize),
    ),
    gauge(
      'device_used_bytes',
      'Of the file system, by whatever lies on it.',
      ofDisk((disk) => (disk.blocks - disk.bfree) * disk.bsize),
    ),
    gauge(
      'device_free_bytes',
      'Left for files.',
      ofDisk((disk) => disk.bavail * disk.bsize),
    ),
    gauge(
      'device_files_max',
      'Files the file system has room for.',
      ofDisk((disk) => disk.files),
    ),
    gauge(
      'device_files',
      'Files and directories on the file system.',
      ofDisk((disk) => disk.files - disk.ffree),
    ),
    gauge('device_calls', 'System calls on the disk now.', [
      ...calls('running'),
      ...calls('waiting'),
    ]),
    counter(
      'device_errors_total',
      'System calls that the disk failed.',
      each(({ calls: now }) => now.failed),
    ),
    gauge(
      'device_written_timestamp_seconds',
      'When the usage file was last written.',
      each(({ usageFile }) => usageFile.writtenAtSeconds),
    ),
  ];
}

type Reports = [devid: number, report: ScrubReport][];

async function reportsOf({ devices, scrubs }: NodeMetricsParts): Promise<Reports> {
  const readable = devices.all().filter(({ state }) => state !== 'refused');
  const reports = await Promise.all(
    readable.map(async (device): Promise<Reports> => {
      const report = await inTime(scrubs.report(device), answerMsMax).catch(() => 'late' as const);
      return report === 'late' ? [] : [[device.devid, report]];
    }),
  );
  return reports.flat();
}

function scrubFamilies(reports: Reports): Family[] {
  const each = (figureOf: (report: ScrubReport) => number, labels: Labels = {}): Sample[] =>
    reports.map(([devid, report]) => ({ labels: { devid, ...labels }, value: figureOf(report) }));
  const ended = ({ endedAt }: ScrubReport) => Math.floor((Date.parse(endedAt) || 0) / 1000);
  const handled = ({ findings }: ScrubReport) =>
    findings.filter((one) => one.handled !== undefined).length;
  return [
    counter(
      'scrub_rounds_total',
      'Rounds over the device that were finished.',
      each((r) => r.rounds),
    ),
    gauge(
      'scrub_files',
      'Files read in this round.',
      each(({ totals }) => totals.files),
    ),
    gauge(
      'scrub_bytes',
      'Bytes read in this round.',
      each(({ totals }) => totals.bytes),
    ),
    gauge('scrub_end_timestamp_seconds', 'When the last round ended, 0 for never.', each(ended)),
    gauge('scrub_findings', 'Files that rotted or cannot be read, of the newest 1000.', [
      ...each(({ waiting }) => waiting.length, { state: 'waiting' }),
      ...each(handled, { state: 'handled' }),
    ]),
  ];
}

function labelled(sample: Sample, labels: Labels): Sample {
  return { ...sample, labels: { ...sample.labels, ...labels } };
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name: `omgfs_node_${name}`, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: Sample[]): Family {
  return { name: `omgfs_node_${name}`, type: 'counter', help, samples };
}
