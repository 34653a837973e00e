/**
 * Everything the tracker says to storage nodes over HTTP (spec §9). Outcomes are values, never
 * exceptions, because an unreachable node is ordinary; every wait is bounded; connections are kept
 * and limited per host. Knows URLs only: which device to ask is decided elsewhere.
 */
import type { HashType, ScrubOrder } from '@omgfs/protocol';
import { Agent, type Dispatcher } from 'undici';
import { type CopyOutcome, type CopyRequest, copyReplica } from './copy.ts';
import { type DigestOutcome, digestReplica } from './digest.ts';
import { Directories } from './directories.ts';
import { Heads } from './heads.ts';
import { call, isSuccess } from './http.ts';
import {
  type DevicePlace,
  findWriteFault,
  readUsage,
  refusesWrongMd5,
  type UsageOutcome,
} from './probes.ts';
import { Pulls } from './pull.ts';
import { type ScrubOutcome, sendScrubOrder } from './scrub-order.ts';
import { SideDigests } from './side-channel/side-digests.ts';
import { createSignUrl, signing } from './signing.ts';
import { readSize, type SizeOutcome } from './size.ts';

export interface DeviceClientOptions {
  /** For one answer of a node. */
  nodeTimeoutMs: number;
  /** For a connection, and for everything the monitor asks. */
  connTimeoutMs: number;
  connectionsPerHost: number;
  /** Have nodes fetch replicas from each other where they do so. */
  nodeToNode?: boolean;
  /** Signs every request; undefined where nodes do not want that. */
  urlSecret?: string | undefined;
  /** Port of the side channel on every node (spec §8.3); undefined where there is none. */
  sideChannelPort?: number | undefined;
  /** Whether servers are never asked to make directories; by default they are. */
  skipMkcol?: () => boolean;
  /** A copy or digest that makes no progress for so long is given up; by default 45 s (§9.4). */
  stallMs?: number;
}

export interface DigestOptions {
  signal?: AbortSignal;
  background?: boolean;
}

export interface DeviceClient {
  /** Length of a replica, by HEAD. In the background it has connections of its own. */
  size(url: string, options?: { background?: boolean }): Promise<SizeOutcome>;
  /**
   * Digest of a replica, computed by its node where that has a side channel, else by reading all of
   * it. `background` lets it wait behind what is more urgent for the node.
   */
  digest(url: string, type: HashType, options?: DigestOptions): Promise<DigestOutcome>;
  /** Deletes a replica. */
  remove(url: string): Promise<'removed' | 'missing' | { failed: string }>;
  /** Makes the directories above a file where the server wants that; ignores failures. */
  makeDirectories(writeUrl: string): Promise<void>;
  readUsage(place: DevicePlace): Promise<UsageOutcome>;
  /** Why the device cannot be written, or undefined when it can. */
  findWriteFault(place: DevicePlace): Promise<string | undefined>;
  /** Whether a PUT with a wrong Content-MD5 is refused; undefined when nothing answered. */
  refusesWrongMd5(place: DevicePlace): Promise<boolean | undefined>;
  /** Streams a replica from one node to another through this process. */
  copy(request: CopyRequest): Promise<CopyOutcome>;
  /** Tells a node about the scrub of a device, by its address, and asks for findings. */
  scrub(url: string, order: ScrubOrder): Promise<ScrubOutcome>;
  /** Ends all connections; what is in flight fails. */
  close(): Promise<void>;
}

const stallMsDefault = 45_000;
/** How long a target may take to begin with fetching. */
const pullTtlSeconds = 900;

export function createDeviceClient(options: DeviceClientOptions): DeviceClient {
  const { connTimeoutMs, connectionsPerHost: connections } = options;
  const { urlSecret } = options;
  const plainAgent = () => new Agent({ connections, connect: { timeout: connTimeoutMs } });
  const newAgent = (): Dispatcher => {
    return urlSecret === undefined ? plainAgent() : plainAgent().compose(signing(urlSecret));
  };
  // Four sets of connections, so that neither a long copy nor a fsck delays a close, and so that
  // the monitor's verdict on a host does not depend on how busy this tracker is.
  const agents = { calls: newAgent(), bulk: newAgent(), probes: newAgent(), checks: newAgent() };
  const pullAgent = plainAgent();
  const deadlineMs = connTimeoutMs + options.nodeTimeoutMs;
  const newHeads = () => new Heads({ connections, connTimeoutMs, deadlineMs, urlSecret });
  const heads = { calls: newHeads(), checks: newHeads() };
  const stallMs = options.stallMs ?? stallMsDefault;
  const signUrl = createSignUrl({ urlSecret, urlTtlSeconds: pullTtlSeconds });
  const pulls = options.nodeToNode
    ? new Pulls({ agent: pullAgent, urlSecret, signUrl, stallMs })
    : undefined;
  const isOff = options.skipMkcol ?? (() => false);
  const directories = new Directories(agents.calls, { deadlineMs, isOff });
  const copyThrough = async (request: CopyRequest) => {
    const beganMs = performance.now();
    const copied = await copyReplica(agents.bulk, { ...request, stallMs });
    const isPlaceless = copied.state === 'target_failed' && copied.lacksDirectory;
    if (!isPlaceless || !(await directories.makeAgain(request.to, beganMs))) return copied;
    return copyReplica(agents.bulk, { ...request, stallMs });
  };
  const { sideChannelPort: port } = options;
  const side = port === undefined ? undefined : new SideDigests({ ...options, port });
  const probe = { agent: agents.probes, directories, deadlineMs: connTimeoutMs };
  return {
    size: async (url, { background } = {}) => {
      const kind = background ? 'checks' : 'calls';
      return (await heads[kind].size(url)) ?? readSize(agents[kind], { url, deadlineMs });
    },
    remove: (url) => remove(agents.calls, { url, deadlineMs }),
    makeDirectories: (writeUrl) => directories.make(writeUrl),
    digest: async (url, type, { signal, background = false } = {}) => {
      const told = await side?.digest(url, type, { background, signal });
      if (told !== undefined) return { state: 'present', ...told };
      return digestReplica(agents.bulk, { url, type, stallMs, signal });
    },
    copy: async (request) => (await pulls?.copy(request)) ?? copyThrough(request),
    readUsage: (place) => readUsage(probe, place),
    findWriteFault: (place) => findWriteFault(probe, place),
    refusesWrongMd5: (place) => refusesWrongMd5(probe, place),
    scrub: (url, order) => sendScrubOrder(agents.checks, { url, order, deadlineMs }),
    close: async () => {
      side?.close();
      for (const kind of Object.values(heads)) kind.close();
      const all = [pullAgent, ...Object.values(agents)];
      await Promise.all(all.map((agent) => agent.destroy()));
    },
  };
}

interface Target {
  url: string;
  deadlineMs: number;
}

async function remove(
  agent: Dispatcher,
  target: Target,
): Promise<'removed' | 'missing' | { failed: string }> {
  const reply = await call(agent, { method: 'DELETE', ...target });
  if (!reply.answered) return { failed: reply.reason };
  if (reply.status === 404) return 'missing';
  return isSuccess(reply.status) ? 'removed' : { failed: `answered ${reply.status}` };
}
