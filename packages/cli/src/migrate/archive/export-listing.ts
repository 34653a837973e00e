/** What there is to export: keys in byte order, and what the manifest has to say of the domain. */
import type { Admin, Client } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
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
export function sortedKeys(
  { client, prefix }: Pick<ExportPlace, 'client' | 'prefix'>,
  { dir, name, signal }: { dir: string; name: string; signal: AbortSignal },
): Promise<SortedRows> {
  async function* rows() {
    for await (const key of client.listBytes({ prefix, signal })) {
      yield { key: key.toString('latin1'), value: '' };
    }
  }
  return SortedRows.from(rows(), { dir, name });
}
