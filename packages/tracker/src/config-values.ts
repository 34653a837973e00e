/** Values of options and of the environment as what they must be, or what is wrong with them. */
import { type BlockList, isIPv4 } from 'node:net';
import { type DavMode, davModes } from './dav/mode.ts';
import { type DownloadShape, downloadShapes } from './http/files/download.ts';
import { type OptionName, optionTable, type TrackerOption } from './options.ts';
import type { ListenAddress } from './server/line-server.ts';
import { parseNetwork } from './topology/topology.ts';

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const tempfileAgeDefault = 3600;

export interface Readers {
  text(name: OptionName): string;
  /** @throws Error for what is no number, or none that the option takes. */
  number(name: OptionName): number;
  /** @throws Error for what is neither on nor off. */
  on(name: OptionName): boolean;
}

/** Options by their type, each with its default. */
export function readers(values: ReadonlyMap<string, string>): Readers {
  const optionOf = (name: OptionName): TrackerOption | undefined =>
    optionTable.find((option) => option.name === name);
  const text = (name: OptionName) => values.get(name) ?? optionOf(name)?.fallback ?? '';
  return {
    text,
    number: (name) => {
      const { atLeast = 0, atMost = Number.MAX_SAFE_INTEGER, fractions } = optionOf(name) ?? {};
      const value = Number(text(name));
      const isEmpty = values.has(name) && text(name).trim() === '';
      const isKind = fractions === true ? Number.isFinite(value) : Number.isInteger(value);
      if (!isEmpty && isKind && value >= atLeast && value <= atMost) return value;
      const kind = fractions === true ? 'a number' : 'a whole number';
      const range =
        atMost === Number.MAX_SAFE_INTEGER ? `${atLeast} or more` : `${atLeast} to ${atMost}`;
      throw new Error(`${name} must be ${kind}, ${range}, not '${text(name)}'`);
    },
    on: (name) => {
      if (/^(?:0*[1-9]\d*|y|yes|on|t|true)$/i.test(text(name))) return true;
      if (/^(?:0*|n|no|off|f|false)$/i.test(text(name))) return false;
      throw new Error(`${name} must be 1 or 0, not '${text(name)}'`);
    },
  };
}

export function davMode(text: string): DavMode {
  const mode = davModes.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new Error(`http_dav must be one of ${davModes.join(', ')}, not '${text}'`);
}

export function downloadShape(text: string): DownloadShape {
  const shape = downloadShapes.find((known) => known === text);
  if (shape !== undefined) return shape;
  throw new Error(`http_download must be one of ${downloadShapes.join(', ')}, not '${text}'`);
}

export function networks(text: string): BlockList[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  return parts.map((part) => {
    // Who may come in is written out; zones may be cut short.
    const network = /^\d+(?:\.\d+){3}/.test(part) ? parseNetwork(part) : undefined;
    if (network === undefined) throw new Error(`http_allow: '${part}' is not ip or ip/bits`);
    return network;
  });
}

/** `ip[:port]`, several by comma. */
export function listenAddresses(name: string, text: string, portDefault: number): ListenAddress[] {
  return text.split(',').map((part) => {
    const [host = '', port = String(portDefault), ...more] = part.trim().split(':');
    const isPort = /^\d{1,5}$/.test(port) && Number(port) <= 65_535;
    if (!isIPv4(host) || !isPort || more.length > 0) {
      throw new Error(`${name}: '${part.trim()}' is not ip[:port] with an IPv4 address`);
    }
    return { host, port: Number(port) };
  });
}

export function logLevel(text: string): string {
  if (logLevels.includes(text)) return text;
  throw new Error(`log_level must be error, warn, info or debug, not '${text}'`);
}

/** The zone this tracker is in. */
export function localNetwork(text: string): string | undefined {
  if (text === '') return undefined;
  if (parseNetwork(text) !== undefined) return text;
  throw new Error(`local_network: '${text}' is not ip or ip/bits`);
}

/** `T_TEMPFILE_TOO_OLD`: seconds; 0 and nothing are the default, as with the original. */
export function tempfileAge(text: string | undefined): number {
  const seconds = Number(text ?? 0);
  if (Number.isInteger(seconds) && seconds >= 0) return seconds || tempfileAgeDefault;
  throw new Error(`T_TEMPFILE_TOO_OLD of the environment must be seconds, not '${text}'`);
}

/** `T_FAKE_IO_DEV<devid>`. */
export function fakeUtilization(env: NodeJS.ProcessEnv): Map<number, string> {
  const found = Object.entries(env).flatMap(([name, value]): [number, string][] => {
    const devid = /^T_FAKE_IO_DEV(\d+)$/.exec(name)?.[1];
    return devid === undefined || value === undefined ? [] : [[Number(devid), value]];
  });
  return new Map(found);
}
