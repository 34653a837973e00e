/**
 * Everything an operator does, typed: domains, classes, hosts, devices, settings, fsck, rebalance.
 * Speaks the line protocol only, so it works with trackers of MogileFS as well.
 */
import {
  type Fields,
  fromByteString,
  listOf,
  OmgfsError,
  toByteString,
  valuesOf,
} from '@omgfs/protocol';
import { createTrackerPool, type TrackerPool, type TrackerPoolOptions } from '../tracker-pool.ts';
import { drainsOf, numberOrNull, scrubsOf } from './device-rows.ts';
import type {
  ClassChange,
  ClassInfo,
  DeviceInfo,
  DeviceStatus,
  DomainInfo,
  DrainInfo,
  FsckEvent,
  FsckStatus,
  HostChange,
  HostInfo,
  JobInfo,
  QueueInfo,
  ScrubInfo,
  WaitReason,
} from './types.ts';

/** Admin commands wait until the tracker has looked at every device again. */
const requestTimeoutMsDefault = 30_000;

/**
 * Connects lazily: nothing is sent before the first call.
 *
 * @example const admin = createAdmin({ trackers: ['127.0.0.1:7001'] });
 *   await admin.createDomain('photos');
 * @throws BAD_ARGS when an address is not `host:port`.
 */
export function createAdmin(options: TrackerPoolOptions): Admin {
  return new Admin(createTrackerPool({ requestTimeoutMs: requestTimeoutMsDefault, ...options }));
}

type Arguments = Record<string, string | number | boolean | undefined>;

/** Every method rejects with the tracker's refusal, or as `TrackerPool.request` does. */
export class Admin {
  readonly #pool: TrackerPool;

  constructor(pool: TrackerPool) {
    this.#pool = pool;
  }

  /** Any command; texts are UTF-8 here, and what is undefined is not sent. */
  async call(command: string, args: Arguments = {}): Promise<Fields> {
    const sent: Fields = {};
    for (const [name, value] of Object.entries(args)) {
      if (value === undefined) continue;
      sent[name] = toByteString(typeof value === 'boolean' ? (value ? '1' : '0') : String(value));
    }
    const reply = await this.#pool.request(command, sent);
    return Object.fromEntries(
      Object.entries(reply).map(([name, value]) => [fromByteString(name), fromByteString(value)]),
    );
  }

  async domains(): Promise<DomainInfo[]> {
    const fields = await this.call('get_domains');
    return Array.from({ length: Number(fields.domains) }, (_, at) => {
      const prefix = `domain${at + 1}class`;
      const total = fields[`domain${at + 1}classes`];
      const classes = listOf(fields, { prefix, total, separator: '' }).map(toClass);
      return { name: fields[`domain${at + 1}`] ?? '', classes };
    });
  }

  async createDomain(domain: string): Promise<void> {
    await this.call('create_domain', { domain });
  }

  async deleteDomain(domain: string): Promise<void> {
    await this.call('delete_domain', { domain });
  }

  async createClass(request: ClassChange & { mindevcount: number }): Promise<void> {
    const { domain, name, ...fields } = request;
    await this.call('create_class', { domain, class: name, ...fields });
  }

  /** Changes what is named and leaves the rest. */
  async updateClass(request: ClassChange): Promise<void> {
    const { domain, name, ...fields } = request;
    // The command wants the number of copies each time, and would set it (spec §2.2).
    const known = (await this.domains()).find((candidate) => candidate.name === domain);
    const before = known?.classes.find((candidate) => candidate.name === name);
    const mindevcount = fields.mindevcount ?? before?.mindevcount ?? 1;
    await this.call('update_class', { domain, class: name, ...fields, mindevcount });
  }

  async deleteClass({ domain, name }: { domain: string; name: string }): Promise<void> {
    await this.call('delete_class', { domain, class: name });
  }

  async hosts(): Promise<HostInfo[]> {
    const fields = await this.call('get_hosts');
    return listOf(fields, { prefix: 'host', total: fields.hosts }).map(toHost);
  }

  /** @returns its id. */
  async createHost(request: HostChange & { ip: string; port: number }): Promise<number> {
    const { name, ...fields } = request;
    return Number((await this.call('create_host', { host: name, ...fields })).hostid);
  }

  /** Changes what is named and leaves the rest; an empty alternate address clears it. */
  async updateHost(request: HostChange): Promise<void> {
    const { name, ...fields } = request;
    await this.call('update_host', { host: name, ...fields });
  }

  /** Only a host that never had a device can be deleted. */
  async deleteHost(host: string): Promise<void> {
    await this.call('delete_host', { host });
  }

  async devices(): Promise<DeviceInfo[]> {
    const [fields, hosts] = await Promise.all([this.call('get_devices'), this.hosts()]);
    const names = new Map(hosts.map(({ hostid, name }) => [hostid, name]));
    return listOf(fields, { prefix: 'dev', total: fields.devices }).map((row) => {
      return { ...toDevice(row), host: names.get(Number(row.hostid)) ?? '' };
    });
  }

  async createDevice(request: {
    devid: number;
    host: string;
    status?: DeviceStatus;
  }): Promise<void> {
    const { devid, host: hostname, status: state } = request;
    await this.call('create_device', { devid, hostname, state });
  }

  async setDeviceStatus(request: { devid: number; status: DeviceStatus }): Promise<void> {
    const { devid: device, status: state } = request;
    await this.call('set_state', { host: await this.#hostOf(device), device, state });
  }

  /** 100 is the ordinary weight; 0 takes no new files. */
  async setDeviceWeight(request: { devid: number; weight: number }): Promise<void> {
    const { devid: device, weight } = request;
    await this.call('set_weight', { host: await this.#hostOf(device), device, weight });
  }

  async settings(): Promise<Map<string, string>> {
    const fields = await this.call('server_settings');
    const total = Number(fields.key_count ?? 0);
    return new Map(
      Array.from({ length: total }, (_, at) => {
        return [fields[`key_${at + 1}`] ?? '', fields[`value_${at + 1}`] ?? ''];
      }),
    );
  }

  /** Empty when it is not set. */
  async setting(key: string): Promise<string> {
    return (await this.call('server_setting', { key })).value ?? '';
  }

  async setSetting(key: string, value: string): Promise<void> {
    await this.call('set_server_setting', { key, value });
  }

  async fsckStatus(): Promise<FsckStatus> {
    return toFsckStatus(await this.call('fsck_status'));
  }

  async fsckStart(): Promise<void> {
    await this.call('fsck_start');
  }

  /** What is queued already goes on. */
  async fsckStop(): Promise<void> {
    await this.call('fsck_stop');
  }

  /** Sets the position, by default the start, and forgets the counters. */
  async fsckReset(request: Arguments & { policyOnly?: boolean; startFid?: number }): Promise<void> {
    const { policyOnly: policy_only, startFid: startpos, ...more } = request;
    await this.call('fsck_reset', { policy_only, startpos, ...more });
  }

  /** At most 100 findings behind `after`, oldest first. */
  async fsckLog(after = 0): Promise<FsckEvent[]> {
    const fields = await this.call('fsck_getlog', { after_logid: after });
    return listOf(fields, { prefix: 'row_', total: fields.row_count }).map((row) => ({
      logid: Number(row.logid),
      utime: Number(row.utime),
      fid: Number(row.fid),
      evcode: row.evcode ?? '',
      devid: numberOrNull(row.devid),
    }));
  }

  async fsckClearLog(): Promise<void> {
    await this.call('fsck_clearlog');
  }

  /** The state as the tracker keeps it. @throws the tracker's `no_rebal_state`. */
  async rebalanceStatus(): Promise<Fields> {
    return this.call('rebalance_status');
  }

  async setRebalancePolicy(policy: string): Promise<void> {
    await this.call('rebalance_set_policy', { policy });
  }

  /** Devices that the policy selects. */
  async rebalanceTest(): Promise<{ sources: number[]; targets: number[] }> {
    const { sdevs, ddevs } = await this.call('rebalance_test');
    return { sources: idsOf(sdevs), targets: idsOf(ddevs) };
  }

  async rebalance(action: 'start' | 'stop' | 'reset'): Promise<Fields> {
    return this.call(`rebalance_${action}`);
  }

  /** As `rebalanceStatus`, with what trackers of omgfs say beyond it: progress, ETA, what waits. */
  async rebalanceDetails(): Promise<Fields> {
    return this.call('rebalance_status', { details: true });
  }

  /** Evens out how full devices are; only trackers of omgfs can. */
  async rebalanceEven(options: { tolerance?: number; by?: 'usage' | 'files' } = {}): Promise<void> {
    await this.call('rebalance_even', options);
  }

  /** Moves everything off a device or off all devices of a host; only trackers of omgfs can. */
  async drain(place: { device: number } | { host: string }): Promise<void> {
    await ('device' in place
      ? this.call('drain_device', place)
      : this.call('evacuate_host', place));
  }

  /** Gives devices that are being emptied the state they had. */
  async stopDrain(place: { device: number } | { host: string }): Promise<void> {
    await this.call('drain_stop', place);
  }

  /** Devices that are being emptied, all or those of a place. */
  async drains(place: { device?: number; host?: string } = {}): Promise<DrainInfo[]> {
    const fields = await this.call('drain_status', place);
    return drainsOf(fields);
  }

  /** How scrub goes on all devices or one of them; only trackers of omgfs can tell. */
  async scrubs(place: { device?: number } = {}): Promise<ScrubInfo[]> {
    const fields = await this.call('scrub_status', place);
    return scrubsOf(fields);
  }

  /** What a tracker of omgfs thinks of a file, device or class, and plans for it, in sentences. */
  async explain(
    subject:
      | { devid: number }
      | { fid: number }
      | { domain: string; key: string }
      | { domain: string; class: string },
  ): Promise<string[]> {
    const fields = await this.call('explain', subject);
    return valuesOf(fields, { prefix: 'line', total: fields.lines }).map((line) => line ?? '');
  }

  /** The queues of a tracker of omgfs at a glance. */
  async queues(): Promise<QueueInfo[]> {
    const fields = await this.call('queue_stats');
    return listOf(fields, { prefix: 'queue', total: fields.queues }).map((row) => ({
      name: row.name ?? '',
      total: Number(row.total),
      due: Number(row.due),
      working: Number(row.working),
      parked: Number(row.parked),
      failed: Number(row.failed),
      oldestDueSeconds: Number(row.oldest_due),
      nextInSeconds: numberOrNull(row.next_in),
      paused: row.paused === '1',
      perSecond: Number(row.per_second ?? 0),
      etaSeconds: numberOrNull(row.eta_seconds),
    }));
  }

  /** The jobs of all trackers of omgfs. */
  async jobs(): Promise<JobInfo[]> {
    const fields = await this.call('queue_stats');
    return listOf(fields, { prefix: 'job', total: fields.jobs }).map((row) => ({
      name: row.name ?? '',
      paused: row.paused === '1',
      perSecond: Number(row.per_second ?? 0),
    }));
  }

  /** Lets a job rest on all trackers of omgfs, or go on; each knows within seconds. */
  async pauseJob(name: string, paused: boolean): Promise<void> {
    await this.setSetting(`omg_pause_${name}`, paused ? '1' : '0');
  }

  /** Why files wait, the most frequent reasons first. */
  async waitReasons(): Promise<WaitReason[]> {
    const fields = await this.call('queue_stats');
    return listOf(fields, { prefix: 'reason', total: fields.reasons }).map((row) => ({
      job: row.job ?? '',
      code: row.code ?? '',
      reason: row.text ?? '',
      count: Number(row.count),
    }));
  }

  /** Makes every waiting replication due. @returns how many there were. */
  async replicateNow(): Promise<number> {
    return Number((await this.call('replicate_now')).count);
  }

  /** Makes the tracker read the database and look at every device. */
  async refresh(): Promise<void> {
    await this.call('clear_cache');
  }

  /** Closes all connections; calls in flight fail. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** The commands want host and device to fit. @throws NO_DEVICE. */
  async #hostOf(devid: number): Promise<string> {
    const device = (await this.devices()).find((candidate) => candidate.devid === devid);
    if (device !== undefined) return device.host;
    throw new OmgfsError('NO_DEVICE', { message: `there is no device ${devid}` });
  }
}

function toClass(row: Fields): ClassInfo {
  return {
    name: row.name ?? '',
    mindevcount: Number(row.mindevcount),
    replpolicy: row.replpolicy ?? '',
    hashtype: row.hashtype === 'MD5' || row.hashtype === 'SHA-1' ? row.hashtype : null,
  };
}

function toHost(row: Fields): HostInfo {
  return {
    hostid: Number(row.hostid),
    name: row.hostname ?? '',
    status: row.status as HostInfo['status'],
    ip: row.hostip ?? '',
    port: Number(row.http_port),
    getport: numberOrNull(row.http_get_port),
    altip: row.altip || null,
    altmask: row.altmask || null,
  };
}

function toDevice(row: Fields): Omit<DeviceInfo, 'host'> {
  return {
    devid: Number(row.devid),
    status: row.status as DeviceStatus,
    observed: row.observed_state || null,
    weight: Number(row.weight),
    mbTotal: numberOrNull(row.mb_total),
    mbUsed: numberOrNull(row.mb_used),
    mbFree: numberOrNull(row.mb_free),
    utilization: numberOrNull(row.utilization),
  };
}

function toFsckStatus(fields: Fields): FsckStatus {
  const events = Object.entries(fields).filter(([name]) => name.startsWith('num_'));
  return {
    running: fields.running === '1',
    host: fields.host || null,
    position: Number(fields.max_fid_checked ?? 0),
    end: Number(fields.end_fid ?? 0),
    policyOnly: fields.policy_only === '1',
    startTime: numberOrNull(fields.start_time),
    stopTime: numberOrNull(fields.stop_time),
    now: Number(fields.current_time),
    lastLogid: Number(fields.max_logid ?? 0),
    events: Object.fromEntries(events.map(([name, value]) => [name.slice(4), Number(value)])),
    fields,
  };
}

function idsOf(list: string | undefined): number[] {
  return list === undefined || list === '' ? [] : list.split(',').map(Number);
}
