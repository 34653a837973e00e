/**
 * Goal: lists of settings show no passwords, and tools can still change a replica database.
 * Method: the commands on a real SQLite store.
 */
import { expect, test } from 'vitest';
import { settingCommands } from '../../src/commands/settings.ts';
import { startCluster } from '../jobs/cluster.ts';

test('a password is not listed, and survives a change of the rest', async () => {
  const cluster = await startCluster({ engine: 'sqlite', hosts: 1, start: false });
  const commands = settingCommands(cluster as unknown as Parameters<typeof settingCommands>[0]);
  const call = (name: string, args: Record<string, string>) =>
    commands[name]?.({ args, address: '127.0.0.1' });
  const key = 'slave_a';
  await call('set_server_setting', { key, value: 'DBI:mysql:m|user|secret' });
  expect(await call('server_setting', { key })).toEqual({ key, value: 'DBI:mysql:m|user|secret' });
  expect(JSON.stringify(await call('server_settings', {}))).not.toContain('secret');
  await call('set_server_setting', { key, value: 'DBI:mysql:other|user|***' });
  expect(await cluster.store.findSetting(key)).toBe('DBI:mysql:other|user|secret');
});
