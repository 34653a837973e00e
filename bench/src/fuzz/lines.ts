/** Request lines that no sane client sends, from a seed: the same seed makes the same lines. */

/** Numbers in [0, 1), by a small generator with 32 bits of state. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Commands that answer soon and wait for nobody; what they change is the cluster's own loss. */
const commands = [
  ...['noop', 'get_paths', 'file_info', 'file_debug', 'list_keys', 'list_fids', 'delete', 'rename'],
  ...['updateclass', 'create_open', 'create_close', 'edit_file', 'get_domains', 'get_hosts'],
  ...['get_devices', 'server_setting', 'set_server_setting', 'server_settings', 'fsck_status'],
  ...[
    'fsck_getlog',
    'rebalance_status',
    'rebalance_test',
    'explain',
    'queue_stats',
    'drain_status',
  ],
  ...['test', 'httpcopy', 'plugin_x', 'stats', 'constructor', '__proto__', 'toString', 'NOOP'],
];
const names = [
  ...['domain', 'key', 'fid', 'devid', 'path', 'size', 'class', 'prefix', 'after', 'limit'],
  ...['from', 'to', 'from_key', 'to_key', 'callid', 'zone', 'pathcount', 'checksum', 'devices'],
  ...['noverify', 'multi_dest', 'value', '', '__proto__', 'hasOwnProperty'],
];
const values = [
  ...['', '0', '1', '-1', 'fuzz', 'nope', '%', '%4', '%zz', '%00', '%0A', '%FF%FE', '+', 'a=b'],
  ...['99999999999999999999', '1e308', 'NaN', '0x10', '../../etc/passwd', 'MD5:zz', "' OR 1=1 --"],
  ...['dev1', '2147483648', '9007199254740993', '%F0%9F%98%80', '\0', '\x7f\x80\xff'],
];

type Random = () => number;

function oneOf<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T;
}

/** Bytes as a latin1 string; never a line end, which would make two lines of one. */
function bytes(random: Random, length: number): string {
  let text = '';
  for (let at = 0; at < length; at += 1) {
    const code = Math.floor(random() * 256);
    text += code === 10 ? ' ' : String.fromCharCode(code);
  }
  return text;
}

/** A line without its end. It never begins with `!`, whose answers have several lines. */
export function fuzzLine(random: Random): string {
  const kind = random();
  if (kind < 0.1) return bytes(random, Math.floor(random() * 200)).replace(/^!+/, '');
  if (kind < 0.12) return `${oneOf(random, commands)} key=${'x'.repeat(random() * 100_000)}`;
  if (kind < 0.15)
    return ' '.repeat(random() * 5) + oneOf(random, ['\t', '\r', '\0', '&', '=', '%']);
  const separator = oneOf(random, [' ', ' ', ' ', '', '&', '?', '\t']);
  const count = Math.floor(random() * 6);
  const args = Array.from({ length: count }, () => {
    const value = random() < 0.1 ? bytes(random, 20) : oneOf(random, values);
    return `${oneOf(random, names)}=${value}`;
  });
  return `${oneOf(random, commands)}${separator}${args.join('&')}`;
}
