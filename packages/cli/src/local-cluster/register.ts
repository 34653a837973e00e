/** Makes a cluster's hosts, devices, domain and classes known to its trackers. */
import { setTimeout as delay } from 'node:timers/promises';
import type { TrackerPool } from '@omgfs/client';
import { OmgfsError, type ReplyFields, toByteString, toOmgfsError } from '@omgfs/protocol';

export interface ClusterPlan {
  hosts: readonly { name: string; ip: string; httpPort: number; devids: readonly number[] }[];
  domain: string;
}

const writeableMsMax = 60_000;

/** Registers what is missing, corrects ports that changed, and waits for writeable devices. */
export async function registerCluster(pool: TrackerPool, plan: ClusterPlan): Promise<void> {
  for (const { name, ip, httpPort, devids } of plan.hosts) {
    const host = { host: name, ip, port: httpPort, status: 'alive' };
    if (await refused(pool, 'create_host', host, 'HOST_EXISTS')) {
      await pool.request('update_host', host);
    }
    for (const devid of devids) {
      await refused(pool, 'create_device', { hostname: name, devid }, 'EXISTING_DEVID');
    }
  }
  const domain = toByteString(plan.domain);
  await refused(pool, 'create_domain', { domain }, 'DOMAIN_EXISTS');
  await untilWriteable(pool, plan.hosts.flatMap(({ devids }) => devids).length);
}

/** @returns true when it was refused because it is there already. */
async function refused(
  pool: TrackerPool,
  command: string,
  args: ReplyFields,
  existsCode: string,
): Promise<boolean> {
  try {
    await pool.request(command, args);
    return false;
  } catch (error) {
    if (toOmgfsError(error).code !== existsCode) throw error;
    return true;
  }
}

/** Waits until the trackers have seen so many devices writeable. @throws DEVICE_DOWN. */
export async function untilWriteable(pool: TrackerPool, count: number): Promise<void> {
  const deadline = performance.now() + writeableMsMax;
  for (;;) {
    const fields = await pool.request('get_devices');
    let writeable = 0;
    for (let number = 1; number <= Number(fields.devices); number += 1) {
      if (fields[`dev${number}_observed_state`] === 'writeable') writeable += 1;
    }
    if (writeable >= count) return;
    if (performance.now() > deadline) {
      throw new OmgfsError('DEVICE_DOWN', {
        message: `only ${writeable} of ${count} devices can be written; see the logs of the nodes`,
      });
    }
    await delay(100);
    await pool.request('clear_cache');
  }
}
