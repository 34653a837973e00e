/** `server_setting`, `server_settings`, `set_server_setting` (spec §2.4). */
import { isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';
import { settingRule } from './setting-rules.ts';

/** Counts writes to the list of replica databases, so that trackers notice them (spec §3.8). */
const replicaVersionField = 'slave_version';

export function settingCommands({ store }: CommandServices): Record<string, Command> {
  return {
    server_setting: async ({ args }) => {
      const key = args.key;
      if (key === undefined || !isTrue(key)) throw new OmgfsError('BAD_PARAMS');
      // As it is, passwords included: tools change a replica database by what they read here.
      return { key, value: await store.findSetting(key) };
    },
    server_settings: async () => {
      const fields: ReplyFields = {};
      let count = 0;
      for (const { field, value } of await store.listSettings()) {
        // State of ours and of fsck is no setting; the one that steers fsck is.
        if (/^(?:omg_(?!pause_|heal_|device_)|fsck_)/.test(field) && field !== 'fsck_checksum')
          continue;
        count += 1;
        fields[`key_${count}`] = field;
        fields[`value_${count}`] = masked(field, value);
      }
      return count === 0 ? {} : { ...fields, key_count: count };
    },
    set_server_setting: async ({ args }) => {
      const field = args.key;
      if (field === undefined || !isTrue(field)) throw new OmgfsError('BAD_PARAMS');
      const cleaned = settingRule(field)(args.value ?? '');
      const value = unmasked(cleaned, await store.findSetting(field));
      await store.setSetting({ field, value });
      if (field.startsWith('slave_')) {
        const version = Number(await store.findSetting(replicaVersionField)) || 0;
        await store.setSetting({ field: replicaVersionField, value: String(version + 1) });
      }
      return {};
    },
  };
}

const maskText = '***';

/** A replica database without its password, which tools have no use for (design section 9). */
function masked(field: string, value: string | undefined): string | undefined {
  if (!field.startsWith('slave_') || value === undefined) return value;
  return value.replace(/^([^|]*\|[^|]*\|)[^|]+/, `$1${maskText}`);
}

/** Tools that change one part send the others as they read them: the password stays. */
function unmasked(value: string | undefined, before: string | undefined): string | undefined {
  const password = before?.split('|')[2];
  const parts = value?.split('|');
  if (parts?.[2] !== maskText || password === undefined) return value;
  parts[2] = password;
  return parts.join('|');
}
