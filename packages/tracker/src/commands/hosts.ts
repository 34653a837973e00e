/** `get_hosts`, `create_host`, `update_host`, `delete_host` (spec §2.2). */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { type Host, type HostStatus, hostStatuses } from '../placement/model.ts';
import type { HostFields } from '../store/store.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Of its column. */
const hostnameBytesMax = 40;

export function hostCommands(services: CommandServices): Record<string, Command> {
  const { store, topology, refresh } = services;
  const create = createHost(services);
  const update = updateHost(services);
  return {
    get_hosts: ({ args }) => {
      const fields: ReplyFields = { hosts: 0 };
      let count = 0;
      for (const host of topology.hosts()) {
        if (isTrue(args.hostid) && String(host.hostid) !== args.hostid) continue;
        count += 1;
        addHost(fields, `host${count}_`, host);
      }
      fields.hosts = count;
      return fields;
    },
    create_host: (request) => (isTrue(request.args.update) ? update(request) : create(request)),
    update_host: update,
    delete_host: async ({ args }) => {
      const host = topology.hostByName(args.host ?? '');
      if (host === undefined) throw new OmgfsError('UNKNOWN_HOST');
      await store.deleteHost(host.hostid);
      await refresh();
      return {};
    },
  };
}

function createHost({ store, topology, refresh }: CommandServices): Command {
  return async ({ args }) => {
    const hostname = hostName(args);
    if (hostname.length > hostnameBytesMax) throw new OmgfsError('NAME_TOO_LONG');
    if (topology.hostByName(hostname) !== undefined) throw new OmgfsError('HOST_EXISTS');
    const fields = hostFields(args);
    const { hostip, httpPort } = fields;
    if (hostip === undefined) throw new OmgfsError('NO_IP');
    if (httpPort === undefined) throw new OmgfsError('NO_PORT');
    const hostid = await store.createHost({
      ...fields,
      hostname,
      hostip,
      httpPort,
      status: hostStatus(args) ?? 'down',
    });
    await refresh();
    return { hostid, hostname };
  };
}

function updateHost({ store, topology, refresh }: CommandServices): Command {
  return async ({ args }) => {
    const host = topology.hostByName(hostName(args));
    if (host === undefined) throw new OmgfsError('HOST_NOT_FOUND');
    const status = hostStatus(args);
    const fields = { ...hostFields(args), ...(status === undefined ? {} : { status }) };
    await store.updateHost({ ...fields, hostid: host.hostid });
    await refresh();
    return { hostid: host.hostid, hostname: host.hostname };
  };
}

function hostName(args: Fields): string {
  const name = args.host;
  if (name === undefined || name === '') throw new OmgfsError('NO_HOST');
  return name;
}

/** @throws UNKNOWN_STATE. */
function hostStatus(args: Fields): HostStatus | undefined {
  if (!isTrue(args.status)) return undefined;
  const status = hostStatuses.find((name) => name === args.status);
  if (status === undefined) throw new OmgfsError('UNKNOWN_STATE');
  return status;
}

/** Tools send short names, other clients the names of the columns; both are accepted. */
function hostFields(args: Fields): HostFields {
  const fields: HostFields = {};
  const hostip = args.ip ?? args.hostip;
  if (isTrue(hostip)) fields.hostip = hostip as string;
  const httpPort = portOf(args.port ?? args.http_port);
  if (httpPort === null && (args.port ?? args.http_port) === '0') {
    throw noPort('0');
  }
  if (httpPort !== undefined && httpPort !== null) fields.httpPort = httpPort;
  const httpGetPort = portOf(args.getport ?? args.http_get_port);
  if (httpGetPort !== undefined) fields.httpGetPort = httpGetPort;
  // An empty address is stored as NULL: as '' it would collide on the second host (spec §2.2).
  if (args.altip !== undefined) fields.altip = args.altip === '' ? null : args.altip;
  if (args.altmask !== undefined) fields.altmask = args.altmask === '' ? null : args.altmask;
  return fields;
}

/** A port; null when it is to be cleared; undefined when it is not mentioned. */
function portOf(text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === '' || text === '0') return null;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw noPort(text);
  return port;
}

/** On the wire a `failure` as in the original, whose database refuses it. */
function noPort(text: string): OmgfsError {
  const message = `'${text}' is no port number`;
  return new OmgfsError('BAD_REQUEST', { message, wireText: message });
}

function addHost(fields: ReplyFields, prefix: string, host: Host): void {
  fields[`${prefix}hostid`] = host.hostid;
  fields[`${prefix}status`] = host.status;
  fields[`${prefix}hostname`] = host.hostname;
  fields[`${prefix}hostip`] = host.hostip;
  fields[`${prefix}http_port`] = host.httpPort;
  fields[`${prefix}http_get_port`] = host.httpGetPort;
  fields[`${prefix}altip`] = host.altip;
  fields[`${prefix}altmask`] = host.altmask;
}
