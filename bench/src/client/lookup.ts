/** Lookups by the client library beside the same lookups over the cheapest possible connections. */
import { domain, type JobSite } from '../jobs/job-site.ts';
import { LineConnection } from '../load/line-connection.ts';
import type { Session } from '../load/turn.ts';
import type { NamedProcess } from '../report/processes.ts';
import { type Comparison, compareRates, medianCosts, type Rate, rateOf } from './compare.ts';
import { clientOf } from './files.ts';

export interface LookupRates extends Comparison {
  /** Median processor time of a lookup in microseconds, by name of the process. */
  cpuMicros: Record<string, number>;
  bareCpuMicros: Record<string, number>;
}

export async function measureLookups(
  site: JobSite,
  options: { keys: readonly string[]; callers: number; rounds: number; seconds: number },
): Promise<LookupRates> {
  const { keys, callers, rounds, seconds } = options;
  const [host = '', port = ''] = (site.cluster.trackers[0] ?? '').split(':');
  const lines: LineConnection[] = [];
  for (let at = 0; at < callers; at += 1) {
    lines.push(await LineConnection.open({ host, port: Number(port) }));
  }
  const requests = keys.map((key) => {
    return `get_paths domain=${domain}&key=${encodeURIComponent(key)}&pathcount=2&noverify=1\r\n`;
  });
  const client = clientOf(site, { connectionsMax: callers });
  const anyOf = <T>(list: readonly T[]) => list[Math.floor(Math.random() * list.length)];
  const ours: Session = {
    run: async () => {
      const paths = await client.paths(anyOf(keys) ?? '');
      if (paths.length !== 1) throw new Error(`${paths.length} paths`);
    },
    close: async () => {},
  };
  const bare: Session = {
    run: async (caller) => {
      const reply = await lines[caller]?.ask(anyOf(requests) ?? '');
      if (!reply?.includes('paths=1')) throw new Error(`answered ${reply}`);
    },
    close: async () => {},
  };
  try {
    const processes: NamedProcess[] = [
      { name: 'client', pid: process.pid, alone: true },
      { name: 'tracker', pid: site.trackerPid },
    ];
    const costs: { ours: Rate['cpuMicros'][]; bare: Rate['cpuMicros'][] } = { ours: [], bare: [] };
    const turn = async (session: Session, kept: Rate['cpuMicros'][]) => {
      const { perSecond, cpuMicros } = await rateOf(session, { callers, seconds, processes });
      kept.push(cpuMicros);
      return perSecond;
    };
    const comparison = await compareRates(
      { name: `lookup by the client, ${callers} at once`, unit: 'lookups', target: 0.9, rounds },
      { ours: () => turn(ours, costs.ours), bare: () => turn(bare, costs.bare) },
    );
    return {
      ...comparison,
      cpuMicros: medianCosts(costs.ours),
      bareCpuMicros: medianCosts(costs.bare),
    };
  } finally {
    await client.close();
    for (const line of lines) line.close();
  }
}
