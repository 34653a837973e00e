/** Which settings a client may write, and the form in which each is stored (spec §3.5). */
import { hashTypes, OmgfsError } from '@omgfs/protocol';
import { parseNetwork } from '../topology/topology.ts';

/** Turns a value into its stored form; undefined deletes the row. @throws INVALID_FORMAT. */
type Rule = (value: string) => string | undefined;

const anyText: Rule = (value) => value;

const boolean: Rule = (value) => {
  if (value === '' || /^(?:0|f|of|n)/i.test(value)) return '0';
  if (/^(?:1|t|on|y)/i.test(value)) return '1';
  throw new OmgfsError('INVALID_FORMAT', { wireText: 'Unknown format' });
};

const digits: Rule = (value) => {
  if (value === '') return '0';
  if (/^\d+$/.test(value)) return value;
  throw new OmgfsError('INVALID_FORMAT', { wireText: 'Must be numeric' });
};

/** As the original, `0` and nothing leave it to the default; it takes anything else as well. */
const limit: Rule = (value) => {
  if (/^\d{0,12}$/.test(value)) return value;
  throw new OmgfsError('INVALID_FORMAT', { wireText: 'Must be a number of at most 12 digits' });
};

const fsckChecksum: Rule = (value) => {
  if (value === 'class') return undefined;
  if (value === 'off' || Object.hasOwn(hashTypes, value)) return value;
  throw new OmgfsError('INVALID_FORMAT', { wireText: 'Not a valid checksum algorithm' });
};

/** Without one the nodes go by their own options. */
const scrubRate: Rule = (value) => {
  if (value === '') return undefined;
  if (/^\d{1,6}$/.test(value)) return value;
  throw new OmgfsError('INVALID_FORMAT', { wireText: 'Must be MiB a second, 0 to stop, or empty' });
};

const netmasks: Rule = (value) => {
  for (const mask of value.split(/[\s,]+/).filter((part) => part !== '')) {
    if (parseNetwork(mask) === undefined) {
      const wireText = "Doesn't match an acceptable netmask";
      throw new OmgfsError('INVALID_FORMAT', { wireText });
    }
  }
  return value;
};

const replicaDatabase: Rule = (value) => (value === '' ? undefined : value);

const rules: ReadonlyMap<string, Rule> = new Map([
  ['skip_devcount', boolean],
  ['skip_mkcol', boolean],
  ['case_sensitive_list_keys', boolean],
  ['memcache_servers', anyText],
  ['memcache_ttl', digits],
  ['internal_queue_limit', digits],
  ['fsck_checksum', fsckChecksum],
  ['network_zones', anyText],
  ['omg_heal_after', limit],
  ['omg_scrub_mib_per_second', scrubRate],
  ['omg_device_copies', limit],
  ['omg_device_mib_per_second', limit],
]);

const rulesByPrefix: readonly [RegExp, Rule][] = [
  [/^queue_(?:rate|size)_for_(?:fsck|rebal|reaper)$/, limit],
  [/^queue_/, anyText],
  [/^zone_/, netmasks],
  [/^omg_pause_(?:replicate|delete|reaper|heal|scrub|fsck|rebalance)$/, boolean],
  [/^slave_/, replicaDatabase],
];

/** The rule of a setting. @throws NOT_WRITABLE. */
export function settingRule(field: string): Rule {
  const rule = rules.get(field) ?? rulesByPrefix.find(([pattern]) => pattern.test(field))?.[1];
  if (rule === undefined) throw new OmgfsError('NOT_WRITABLE');
  return rule;
}
