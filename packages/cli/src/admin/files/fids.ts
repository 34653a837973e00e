/** `omgfs admin fids`, `debug`, `count`: what the database says of files, singly and in sum. */
import type { Admin } from '@omgfs/client';
import { type Fields, listOf, OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { numberAbove } from '../../numbers.ts';
import type { AdminContext, WithAdmin } from '../context.ts';
import { printFacts, printTable } from '../table.ts';

/** The most that a tracker tells at once. */
const pageFids = 500;

interface FidRow {
  fid: number;
  domain: string;
  class: string;
  key: string;
  length: number;
  devcount: number;
}

export function addFidCommands(admin: Command, withAdmin: WithAdmin): void {
  admin
    .command('fids')
    .description('files in the order in which they came')
    .option('--after <fid>', 'those behind a fid', numberAbove(-1), 0)
    .option('-n, --limit <n>', 'stop after so many', numberAbove(0), 100)
    .action(withAdmin(listFids));
  admin
    .command('debug <subject>')
    .description('every row of the database about a file, by its key or fid:N')
    .action(withAdmin(debug));
  admin
    .command('count')
    .description('files and bytes by domain, class and number of copies; reads all files')
    .action(withAdmin(count));
}

/** Rows by fid, from behind `after`, in pages. */
async function* fidRows(admin: Admin, after: number, limit: number): AsyncGenerator<FidRow> {
  for (let from = after, left = limit; left > 0; ) {
    const reply = await admin.call('list_fids', { from, to: Math.min(left, pageFids) });
    const page = listOf(reply, { prefix: 'fid_', total: reply.fid_count }).map(rowOf);
    yield* page;
    if (page.length === 0) return;
    left -= page.length;
    from = Math.max(...page.map(({ fid }) => fid));
  }
}

function rowOf(row: Fields): FidRow {
  const { fid, length, devcount, domain = '', key = '' } = row;
  const numbers = { fid: Number(fid), length: Number(length), devcount: Number(devcount) };
  return { ...numbers, domain, class: row.class ?? '', key };
}

async function listFids(
  { admin, json }: AdminContext,
  { after, limit }: { after: number; limit: number },
): Promise<void> {
  const rows: FidRow[] = [];
  for await (const row of fidRows(admin, after, limit)) rows.push(row);
  printTable(rows, {
    json,
    columns: {
      FID: (row) => row.fid,
      DOMAIN: (row) => row.domain,
      CLASS: (row) => row.class,
      LENGTH: (row) => row.length,
      COPIES: (row) => row.devcount,
      KEY: (row) => row.key,
    },
    empty: `no file has a fid above ${after}`,
  });
}

async function debug({ admin, domain, json }: AdminContext, subject: string): Promise<void> {
  const fid = /^fid:(\d{1,15})$/.exec(subject)?.[1];
  if (fid === undefined && domain === undefined) {
    throw new OmgfsError('NO_DOMAIN', { message: 'name the domain of the key with --domain' });
  }
  const asked = fid === undefined ? { domain: domain ?? '', key: subject } : { fid: Number(fid) };
  const fields = Object.entries(await admin.call('file_debug', asked));
  printFacts(Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1))), { json });
}

interface Sum {
  domain: string;
  class: string;
  devcount: number;
  files: number;
  bytes: number;
}

async function count({ admin, json }: AdminContext): Promise<void> {
  const sums = new Map<string, Sum>();
  for await (const row of fidRows(admin, 0, Number.POSITIVE_INFINITY)) {
    const { domain, class: name, devcount, length } = row;
    const place = [domain, name, devcount].join('\0');
    const sum = sums.get(place) ?? { domain, class: name, devcount, files: 0, bytes: 0 };
    sum.files += 1;
    sum.bytes += length;
    sums.set(place, sum);
  }
  const sorted = [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
  printTable(sorted, {
    json,
    columns: {
      DOMAIN: (sum) => sum.domain,
      CLASS: (sum) => sum.class,
      COPIES: (sum) => sum.devcount,
      FILES: (sum) => sum.files,
      BYTES: (sum) => sum.bytes,
    },
    empty: 'there are no files',
  });
}
