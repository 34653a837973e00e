/** What there is to export: keys in byte order, and what the manifest has to say of the domain. */
import type { Admin, Client } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { createProgress } from '../../output.ts';
import { SortedRows } from '../rows/sorted-rows.ts';
import type { ManifestHead } from './manifest.ts';

export interface ExportPlace {
  client: Client;
  admin: Admin;
  domain: string;
  prefix: string;
}

/** @throws UNREG_DOMAIN. */
export async function headOf({ admin, domain, prefix }: ExportPlace): Promise<ManifestHead> {
  const found = (await admin.domains()).find(({ name }) => name === domain);
  if (found !== undefined) return { domain, prefix, classes: found.classes };
  throw new OmgfsError('UNREG_DOMAIN', { message: `there is no domain '${domain}'` });
}

/** All keys; files for sorting them go to `dir`. */
export async function sortedKeys(
  { client, prefix }: Pick<ExportPlace, 'client' | 'prefix'>,
  options: { dir: string; name: string; json: boolean; signal: AbortSignal },
): Promise<SortedRows> {
  const { dir, name, json, signal } = options;
  const progress = createProgress({ label: 'listing', unit: 'items', total: undefined, json });
  async function* rows() {
    for await (const key of client.listBytes({ prefix, signal })) {
      progress.add({ items: 1 });
      yield { key: key.toString('latin1'), value: '' };
    }
  }
  try {
    return await SortedRows.from(rows(), { dir, name });
  } finally {
    progress.stop();
  }
}
