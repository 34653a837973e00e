/** Lookups by the client library beside the same lookups over the cheapest possible connections. */
import { domain, type JobSite } from '../jobs/job-site.ts';
import { LineConnection } from '../load/line-connection.ts';
import type { Session } from '../load/turn.ts';
import { type Comparison, compareRates, rateOf } from './compare.ts';
import { clientOf } from './files.ts';

export async function measureLookups(
  site: JobSite,
  options: { keys: readonly string[]; callers: number; rounds: number; seconds: number },
): Promise<Comparison> {
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
    return await compareRates(
      { name: `lookup by the client, ${callers} at once`, unit: 'lookups', target: 0.9, rounds },
      {
        ours: async () => (await rateOf(ours, { callers, seconds })).perSecond,
        bare: async () => (await rateOf(bare, { callers, seconds })).perSecond,
      },
    );
  } finally {
    await client.close();
    for (const line of lines) line.close();
  }
}
