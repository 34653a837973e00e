/**
 * Which rows are measured and which of them take turns: what is compared sits in one rotation, next
 * to its limit. Deleting comes last, because creating files is slower for a while after it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DiskLimit } from './limits/disk.ts';
import { limitConnections, type MysqlLimits } from './limits/mysql.ts';
import type { PartsLimit } from './limits/parts.ts';
import type { Entry } from './load/rotation.ts';
import type { Options } from './options.ts';
import { limits } from './report/ratios.ts';
import { settleFact, storedFact } from './report/report.ts';
import type { Files } from './workloads/files.ts';
import type { Series } from './workloads/series.ts';
import { openDelete, openGetPaths, openRead, openStore } from './workloads/sessions.ts';

/** Bytes that one turn may write, so that big files neither fill nor wear out the disk. */
const turnBytesMax = 256 * 1024 * 1024;
/** Files that are looked up and read: many enough not to be one, few enough to stay cached. */
const readFilesMax = 1000;
const readBytesMax = 128 * 1024 * 1024;
/** Files that one turn of delete needs to be worth measuring. */
const deletesPerTurn = 1000;
const deleteBytes = 4096;

export interface Resources {
  files: Files;
  mysql: MysqlLimits | undefined;
  disk: DiskLimit | undefined;
  parts: PartsLimit | undefined;
  /** Docroots and the address at which nginx serves each. */
  nginx: { docroot: string; origin: string }[];
}

/** Prepares one rotation when its turn comes, so that its files are fresh. */
export type Rotation = () => Promise<Entry[]>;

/** The rotations of a run, in order. */
export function planOf(options: Options, resources: Resources): Rotation[] {
  const wanted = new Set(options.workloads);
  const sizes = [...options.sizes].sort((a, b) => a - b);
  const rotations: Rotation[] = [];
  if (wanted.has('get_paths')) {
    rotations.push(() => lookups(options, { resources, bytes: sizes[0] ?? 0 }));
  }
  if (wanted.has('read')) {
    for (const bytes of sizes) rotations.push(() => reads(options, { resources, bytes }));
  }
  if (wanted.has('store')) {
    for (const [index, bytes] of sizes.entries()) {
      rotations.push(async () => stores(options, { resources, bytes, first: index === 0 }));
    }
  }
  if (wanted.has('copies')) {
    for (const bytes of sizes) rotations.push(async () => copies(options, { resources, bytes }));
  }
  if (wanted.has('delete')) rotations.push(() => deletes(options, resources));
  return rotations;
}

async function lookups(
  { connections }: Options,
  { resources, bytes }: { resources: Resources; bytes: number },
): Promise<Entry[]> {
  const { files, mysql } = resources;
  const series = await readable(files, bytes);
  const entries = connections.map(
    (callers): Entry => ({
      workload: 'get_paths',
      bytes: undefined,
      connections: callers,
      open: () => openGetPaths(files.target, { series, callers }),
    }),
  );
  return mysql === undefined ? entries : [...entries, limitEntry('select', mysql.openSelect)];
}

async function reads(
  { connections }: Options,
  { resources, bytes }: { resources: Resources; bytes: number },
): Promise<Entry[]> {
  const { files, nginx } = resources;
  const urls = await files.urls(await readable(files, bytes));
  const row = (workload: string, from: readonly string[], callers: number): Entry => ({
    workload,
    bytes,
    connections: callers,
    open: () => openRead({ urls: from, bytes }),
  });
  const alike = nginx.length === 0 ? [] : urls.map((url) => onNginx(url, nginx));
  return connections.flatMap((callers) => [
    ...(alike.length === 0 ? [] : [row(limits.nginx, alike, callers)]),
    row('read', urls, callers),
  ]);
}

function stores(
  { connections }: Options,
  place: { resources: Resources; bytes: number; first: boolean },
): Entry[] {
  const { bytes, first } = place;
  const { files, disk, mysql, parts } = place.resources;
  const series = files.series(`store-${bytes}`, { bytes, className: files.singleClass });
  const operationsMax = () => Math.ceil(turnBytesMax / bytes);
  const entries = connections.flatMap((callers): Entry[] => {
    const common = { bytes, connections: callers, operationsMax };
    const store: Entry = {
      ...common,
      workload: 'store',
      open: () => openStore(files.target, { series, callers }),
    };
    const rows = [store];
    if (parts !== undefined) {
      const open = () => parts.open({ bytes, callers });
      rows.unshift({ ...common, workload: limits.parts, open });
    }
    if (disk !== undefined) {
      rows.unshift({ ...common, workload: limits.disk, open: () => disk.open(bytes) });
    }
    return rows;
  });
  // A commit does not depend on the size of the file: once is enough.
  if (mysql !== undefined && first) entries.push(limitEntry('insert', mysql.openInsert));
  return entries;
}

function copies(
  { connections }: Options,
  { resources, bytes }: { resources: Resources; bytes: number },
): Entry[] {
  const { files } = resources;
  const series = files.series(`copies-${bytes}`, { bytes, className: '' });
  return connections.map((callers): Entry => {
    let from = 0;
    return {
      workload: `store, ${files.copies} copies`,
      bytes,
      connections: callers,
      operationsMax: () => Math.ceil(turnBytesMax / bytes),
      open: () => {
        from = series.stored;
        return openStore(files.target, { series, callers });
      },
      afterTurn: async () => {
        const stored = series.stored - from;
        const settleMs = await files.settle(series, from);
        return { [storedFact]: stored, [settleFact]: settleMs };
      },
    };
  });
}

async function deletes({ connections, rounds }: Options, { files }: Resources): Promise<Entry[]> {
  const turns = connections.length * rounds;
  const series = files.series('delete', { bytes: deleteBytes, className: files.singleClass });
  await files.fill(series, turns * deletesPerTurn);
  return connections.map(
    (callers): Entry => ({
      workload: 'delete',
      bytes: undefined,
      connections: callers,
      operationsMax: () => deletesPerTurn,
      open: () => openDelete(files.target, { series, callers }),
    }),
  );
}

function limitEntry(name: 'select' | 'insert', open: Entry['open']): Entry {
  return { workload: limits[name], bytes: undefined, connections: limitConnections, open };
}

function readable(files: Files, bytes: number): Promise<Series> {
  const count = Math.max(1, Math.min(readFilesMax, Math.floor(readBytesMax / bytes)));
  return files.readable({ bytes, count });
}

/** The same file at nginx. @throws Error when no docroot holds it. */
function onNginx(url: string, servers: Resources['nginx']): string {
  const { pathname } = new URL(url);
  const server = servers.find(({ docroot }) => existsSync(join(docroot, pathname)));
  if (server === undefined) throw new Error(`no --docroot holds ${pathname}`);
  return `http://${server.origin}${pathname}`;
}
