/**
 * Puts a run together: prepares files and bare limits, measures rotation after rotation and removes
 * everything it made, also when it is interrupted or fails.
 */
import { encodeText } from '@omgfs/protocol';
import { Cleanup } from './cleanup.ts';
import { prepareDiskLimit } from './limits/disk.ts';
import { prepareMysqlLimits } from './limits/mysql.ts';
import { startNginx } from './limits/nginx.ts';
import { prepareParts } from './limits/parts.ts';
import type { HostPort } from './load/line-connection.ts';
import { type Row, rotate } from './load/rotation.ts';
import type { Options } from './options.ts';
import { planOf, type Resources } from './plan.ts';
import { machineFacts } from './report/machine.ts';
import type { NamedProcess } from './report/processes.ts';
import { type Ratio, ratiosOf } from './report/ratios.ts';
import type { Report } from './report/report.ts';
import { Files } from './workloads/files.ts';

export interface RunHooks {
  signal: AbortSignal;
  /** What is being done, for a person who waits. */
  progress: (text: string) => void;
}

/** Options of a system that runs already, whoever started it. */
export type RunOptions = Options & { tracker: HostPort };

/** Measures everything the options ask for. @throws Error when something cannot be used. */
export async function runBench(options: RunOptions, hooks: RunHooks): Promise<Report> {
  const startedAt = new Date().toISOString();
  const cleanup = new Cleanup();
  const rows: Row[] = [];
  const ratios: Ratio[] = [];
  try {
    const { resources, processes } = await prepare(options, { hooks, cleanup });
    const { rounds, seconds } = options;
    for (const rotation of planOf(options, resources)) {
      hooks.signal.throwIfAborted();
      hooks.progress('preparing files');
      const measured = await rotate(await rotation(), { ...hooks, rounds, seconds, processes });
      rows.push(...measured);
      ratios.push(...ratiosOf(measured));
    }
    const { workloads, connections, sizes } = options;
    return {
      startedAt,
      machine: await machineFacts(resources.mysql?.version),
      parameters: { workloads, connections, sizes, rounds, seconds },
      rows,
      ratios,
    };
  } finally {
    hooks.progress('cleaning up');
    await cleanup.run();
  }
}

async function prepare(
  options: RunOptions,
  { hooks, cleanup }: { hooks: RunHooks; cleanup: Cleanup },
): Promise<{ resources: Resources; processes: NamedProcess[] }> {
  const processes = [...options.processes, { name: 'bench', pid: process.pid, alone: true }];
  const resources: Partial<Resources> & Pick<Resources, 'nginx'> = { nginx: [] };
  hooks.progress('preparing the bare limits');
  const { docroots } = options;
  if (docroots[0] !== undefined) {
    const disk = await prepareDiskLimit(docroots[0]);
    cleanup.add(() => disk.close());
    resources.disk = disk;
  }
  if (options.mysql !== undefined) {
    const mysql = await prepareMysqlLimits(options.mysql);
    cleanup.add(() => mysql.close());
    resources.mysql = mysql;
  }
  if (options.mysql !== undefined && resources.disk !== undefined) {
    const parts = await prepareParts(options.mysql, resources.disk);
    cleanup.add(() => parts.close());
    processes.push(...parts.processes);
    resources.parts = parts;
  }
  if (options.nginx) {
    const nginx = await startNginx(docroots);
    cleanup.add(() => nginx.stop());
    processes.push({ name: 'nginx', pid: nginx.pid });
    resources.nginx = docroots.map((docroot, at) => ({
      docroot,
      origin: nginx.origins[at] ?? '',
    }));
  }
  const target = { tracker: options.tracker, domain: encodeText(options.domain) };
  const files = await Files.prepare(target, hooks);
  cleanup.add(() => files.remove());
  return {
    resources: {
      files,
      mysql: resources.mysql,
      disk: resources.disk,
      parts: resources.parts,
      nginx: resources.nginx,
    },
    processes,
  };
}
