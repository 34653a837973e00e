/** Spec §3.5: which settings can be written, and in which form they are stored. */
import { expect, test } from 'vitest';
import { settingRule } from '../../src/commands/setting-rules.ts';

test.each([
  ['skip_devcount', 'yes', '1'],
  ['skip_devcount', 'off', '0'],
  ['skip_mkcol', 'no', '0'],
  ['case_sensitive_list_keys', '', '0'],
  ['memcache_ttl', '1234', '1234'],
  ['memcache_ttl', '', '0'],
  ['memcache_servers', '10.0.0.1:11211', '10.0.0.1:11211'],
  ['queue_rate_for_something', 'anything', 'anything'],
  ['queue_rate_for_fsck', '500', '500'],
  ['queue_size_for_reaper', '0', '0'],
  ['queue_size_for_rebal', '', ''],
  ['omg_device_copies', '', ''],
  ['fsck_checksum', 'MD5', 'MD5'],
  ['fsck_checksum', 'off', 'off'],
  ['fsck_checksum', 'class', undefined],
  ['zone_near', '10.0.0.0/8, 192.168.0.0/16', '10.0.0.0/8, 192.168.0.0/16'],
  ['zone_near', '', ''],
  ['slave_a', 'dsn|u|p', 'dsn|u|p'],
  ['slave_a', '', undefined],
])('%s = %j is stored as %j', (field, value, stored) => {
  expect(settingRule(field)(value)).toBe(stored);
});

test.each([
  ['skip_devcount', 'maybe'],
  ['memcache_ttl', 'abc'],
  ['internal_queue_limit', 'x'],
  ['queue_rate_for_fsck', '-1'],
  ['queue_rate_for_rebal', 'many'],
  ['queue_size_for_reaper', '1.5'],
  ['queue_size_for_fsck', '99999999999999999999'],
  ['omg_device_copies', '-1'],
  ['omg_heal_after', '99999999999999999999'],
  ['fsck_checksum', 'XX'],
  ['zone_near', 'not-a-mask'],
  ['zone_near', '10.0.0.0/33'],
])('%s = %j is refused', (field, value) => {
  expect(() => settingRule(field)(value)).toThrow(
    expect.objectContaining({ code: 'INVALID_FORMAT' }),
  );
});

test.each(['nosuch', 'schema_version', 'fsck_host', 'rebal_state', '__proto__'])(
  '%s cannot be written',
  (field) => {
    expect(() => settingRule(field)).toThrow(expect.objectContaining({ code: 'NOT_WRITABLE' }));
  },
);
