/** What jobs ask for one file at a time, carried for many files together. */
import type { Checksum } from '@omgfs/protocol';
import { type Batcher, batched } from '../../../batcher.ts';
import type { Claim } from '../../claim.ts';
import type { FileWithReplicas } from '../../store.ts';
import type { Engine } from '../engine.ts';
import { filesByFid, findChecksums } from '../files.ts';
import { addReplicas } from '../keys.ts';
import type { Queues } from './queues.ts';

export interface JobBatches {
  files: Batcher<number, FileWithReplicas | undefined>;
  checksums: Batcher<number, Checksum | undefined>;
  replicas: Batcher<{ fid: number; devid: number }, boolean>;
  finished: Batcher<Claim, undefined>;
}

/** One batch of a kind at a time: what comes meanwhile makes the next one large. */
const inFlightMax = 1;

export function createJobBatches(engine: Engine, queues: Queues): JobBatches {
  return {
    files: batched({
      inFlightMax,
      send: async (fids) => {
        const found = await filesByFid(engine, fids);
        const byFid = new Map(found.map((file) => [file.fid, file]));
        return fids.map((fid) => byFid.get(fid));
      },
    }),
    checksums: batched({ inFlightMax, send: (fids) => findChecksums(engine, fids) }),
    replicas: batched({ inFlightMax, send: (made) => addReplicas(engine, made) }),
    finished: batched({
      inFlightMax,
      send: async (rows) => {
        await queues.finishReplications(rows);
        return rows.map(() => undefined);
      },
    }),
  };
}
