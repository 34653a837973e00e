/** `server_setting`, `server_settings`, `set_server_setting` (spec §2.4). */
import { isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Command } from './registry.ts';
import type { CommandServices } from './services.ts';
import { settingRule } from './setting-rules.ts';

/** Counts writes to the list of replica databases, so that trackers notice them (spec §3.8). */
const replicaVersionField = 'slave_version';

export function settingCommands({ store }: CommandServices): Record<string, Command> {
  return {
    server_setting: async ({ args }) => {
      const key = args.key;
      if (key === undefined || !isTrue(key)) throw new OmgfsError('BAD_PARAMS');
      return { key, value: await store.findSetting(key) };
    },
    server_settings: async () => {
      const fields: ReplyFields = {};
      let count = 0;
      for (const { field, value } of await store.listSettings()) {
        // State of ours and of fsck is no setting; the one that steers fsck is.
        if (/^(?:omg_|fsck_)/.test(field) && field !== 'fsck_checksum') continue;
        count += 1;
        fields[`key_${count}`] = field;
        fields[`value_${count}`] = value;
      }
      return count === 0 ? {} : { ...fields, key_count: count };
    },
    set_server_setting: async ({ args }) => {
      const field = args.key;
      if (field === undefined || !isTrue(field)) throw new OmgfsError('BAD_PARAMS');
      const value = settingRule(field)(args.value ?? '');
      await store.setSetting({ field, value });
      if (field.startsWith('slave_')) {
        const version = Number(await store.findSetting(replicaVersionField)) || 0;
        await store.setSetting({ field: replicaVersionField, value: String(version + 1) });
      }
      return {};
    },
  };
}
