/** Hosts and devices. */
import { listOf, OmgfsError } from '@omgfs/protocol';
import { type Api, type ApiRoute, count, type JsonFields, text } from '../api.ts';

const hostFields = {
  ip: text('address for trackers and clients, IPv4'),
  port: count('HTTP port of the storage node'),
  getport: count('HTTP port for reads, when it is another one; 0 for none'),
  altip: text('alternate address; empty for none'),
  altmask: text('clients in this network get the alternate address; empty for none'),
  status: { type: 'string', enum: ['alive', 'down', 'dead', 'readonly'] },
};
const deviceStates = ['alive', 'down', 'dead', 'readonly', 'drain'];

export const machineRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    url: '/v1/hosts',
    tag: 'hosts',
    summary: 'List hosts',
    run: (api) => hosts(api),
  },
  {
    method: 'POST',
    url: '/v1/hosts',
    tag: 'hosts',
    summary: 'Add a host',
    body: { fields: { host: text('its name'), ...hostFields }, required: ['host', 'ip', 'port'] },
    status: 201,
    run: (api, { body }) => api.call('create_host', body),
  },
  {
    method: 'PATCH',
    url: '/v1/hosts/:host',
    tag: 'hosts',
    summary: 'Change a host; what is not named stays',
    body: { fields: hostFields },
    run: (api, input) => api.call('update_host', { ...input.body, host: input.param('host') }),
  },
  {
    method: 'DELETE',
    url: '/v1/hosts/:host',
    tag: 'hosts',
    summary: 'Delete a host that never had a device',
    status: 204,
    run: (api, input) => api.call('delete_host', { host: input.param('host') }),
  },
  {
    method: 'GET',
    url: '/v1/devices',
    tag: 'devices',
    summary: 'List devices with what the monitor sees of them',
    run: (api) => devices(api),
  },
  {
    method: 'GET',
    url: '/v1/devices/:devid',
    tag: 'devices',
    summary: 'One device',
    run: (api, input) => device(api, input.param('devid')),
  },
  {
    method: 'POST',
    url: '/v1/devices',
    tag: 'devices',
    summary: 'Add a device to a host',
    body: {
      fields: {
        devid: count('its number, as in the directory devN'),
        host: text('name of its host'),
        status: { type: 'string', enum: deviceStates },
      },
      required: ['devid', 'host'],
    },
    status: 201,
    run: async (api, { body }) => {
      const { devid, host: hostname, status: state } = body;
      await api.call('create_device', { devid, hostname, state });
      return device(api, String(devid));
    },
  },
  {
    method: 'PATCH',
    url: '/v1/devices/:devid',
    tag: 'devices',
    summary: 'Set state or weight of a device',
    body: {
      fields: {
        status: { type: 'string', enum: deviceStates },
        weight: count('share of new files; 100 is the ordinary one, 0 takes none'),
      },
    },
    run: async (api, input) => {
      const { host, devid } = await device(api, input.param('devid'));
      const { status, weight } = input.body;
      const place = { host: host ?? null, device: devid ?? null };
      if (status !== undefined) await api.call('set_state', { ...place, state: status });
      if (weight !== undefined) await api.call('set_weight', { ...place, weight });
      return device(api, input.param('devid'));
    },
  },
];

async function hosts(api: Api): Promise<JsonFields[]> {
  const fields = await api.call('get_hosts');
  return listOf(fields, { prefix: 'host', total: fields.hosts ?? 0 });
}

async function devices(api: Api, devid?: string): Promise<JsonFields[]> {
  const [fields, known] = await Promise.all([
    api.call('get_devices', devid === undefined ? {} : { devid }),
    hosts(api),
  ]);
  const names = new Map(known.map(({ hostid, hostname }) => [hostid, hostname]));
  return listOf(fields, { prefix: 'dev', total: fields.devices ?? 0 }).map((one) => {
    return { ...one, host: names.get(one.hostid ?? null) ?? null };
  });
}

async function device(api: Api, devid: string): Promise<JsonFields> {
  const [one] = await devices(api, devid);
  if (one === undefined || devid === '0') throw new OmgfsError('NO_DEVICE');
  return one;
}
