/**
 * Goal: the policies answer as spec §6.3 and §6.4 say, and applying them again and again ends.
 * Method: the truth tables of the spec, then random clusters from a seeded generator.
 */
import { describe, expect, test } from 'vitest';
import type { PolicyAnswer, PolicyDevice, PolicyQuestion } from '../../src/placement/contract.ts';
import { askPolicy, parsePolicy } from '../../src/placement/policy.ts';
import { seeded } from './seeded.ts';

/** Hosts 1–3 are near, 4–6 far, the others in a network of their own. */
function networkOf(hostid: number): string {
  return hostid <= 3 ? 'near' : hostid <= 6 ? 'far' : `10.${hostid}.0.0/16`;
}

/** `h1 h1 h2~`: one device a word, in order devid 1, 2, …; marks: ~ drain, ! down, x dead. */
function cluster(text: string): PolicyDevice[] {
  return text.split(' ').map((word, index) => {
    const mark = word.slice(2);
    return {
      devid: index + 1,
      hostid: Number(word[1]),
      network: networkOf(Number(word[1])),
      freeShare: 0.5,
      weight: 100,
      alive: mark === '' || mark === '-',
      dead: mark === 'x',
      // `-`: alive by the operator but not reachable, for example on a host that is down.
      takesFiles: mark === '',
    };
  });
}

function ask(
  policy: string,
  situation: { devices: PolicyDevice[]; on: number[]; min: number; failed?: number[] },
): PolicyAnswer {
  const { devices, on, min, failed = [] } = situation;
  const question: Omit<PolicyQuestion, 'min'> = {
    holding: devices.filter(({ devid }) => on.includes(devid)),
    devices,
    failed: new Set(failed),
    random: seeded(1),
  };
  return askPolicy({ replpolicy: policy, mindevcount: min }, question);
}

/** The answer as text: verdict, or `ideal … / desperate …` sorted. */
function say(answer: PolicyAnswer): string {
  if (answer.verdict !== 'short') return answer.verdict;
  const list = (devids: number[]) => devids.toSorted((a, b) => a - b).join(',');
  return `${list(answer.ideal)}/${list(answer.desperate)}`;
}

describe('MultipleHosts (spec §6.3)', () => {
  test.each([
    ['one copy wanted, one there', 'h1 h2', [1], 1, 'met'],
    ['one copy wanted, two there', 'h1 h2', [1, 2], 1, 'over'],
    ['two on two hosts', 'h1 h2 h3', [1, 2], 2, 'met'],
    ['three on three hosts, two wanted', 'h1 h2 h3', [1, 2, 3], 2, 'over'],
    ['three on two hosts, two wanted', 'h1 h1 h2', [1, 2, 3], 2, 'over'],
    ['one copy, another host free', 'h1 h1 h2', [1], 2, '3/2'],
    ['two on one host, another host there', 'h1 h1 h2', [1, 2], 2, '3/'],
    ['two on one host, the other host is down but counts', 'h1 h1 h2-', [1, 2], 2, 'undecided'],
    ['one copy, the other host is down: the same host is desperate', 'h1 h1 h2-', [1], 2, '/2'],
    ['one copy, the only other host has no alive device', 'h1 h1 h2!', [1], 2, '2/'],
    ['three wanted on two hosts: two may share one', 'h1 h1 h2', [1, 2, 3], 3, 'met'],
    ['three wanted, two hosts, two copies: any device', 'h1 h1 h2', [1, 3], 3, '2/'],
    ['all disks used', 'h1 h2', [1, 2], 3, 'met'],
    ['all disks used but one is dead', 'h1 h2 h3x', [1, 2], 3, 'met'],
    ['single disk, two wanted', 'h1', [1], 2, 'undecided'],
    ['a draining copy counts', 'h1~ h2 h3', [1, 2], 2, 'met'],
    ['a draining device is no target', 'h1 h2~ h3', [1], 2, '3/'],
    ['no copy at all', 'h1 h2', [], 2, '1,2/'],
  ])('%s', (_, devices, on, min, expected) => {
    expect(say(ask('MultipleHosts()', { devices: cluster(devices), on, min }))).toBe(expected);
  });

  test('a failed target is not named again', () => {
    const devices = cluster('h1 h2 h3');
    expect(say(ask('MultipleHosts()', { devices, on: [1], min: 2, failed: [2] }))).toBe('3/');
  });

  test('its own number goes before that of the class', () => {
    const devices = cluster('h1 h2 h3');
    expect(say(ask('MultipleHosts(3)', { devices, on: [1, 2], min: 2 }))).toBe('3/');
    expect(say(ask('MultipleHosts(0)', { devices, on: [1, 2], min: 2 }))).toBe('met');
  });
});

describe('MultipleDevices (spec §6.4)', () => {
  test.each([
    ['two on one host', 'h1 h1 h2', [1, 2], 2, 'met'],
    ['three, two wanted', 'h1 h1 h2', [1, 2, 3], 2, 'over'],
    ['one copy', 'h1 h1 h2', [1], 2, '2,3/'],
    ['all disks used', 'h1 h1', [1, 2], 3, 'met'],
    ['single disk', 'h1', [1], 2, 'undecided'],
  ])('%s', (_, devices, on, min, expected) => {
    expect(say(ask('MultipleDevices()', { devices: cluster(devices), on, min }))).toBe(expected);
  });
});

describe('MultipleNetworks (spec §6.5)', () => {
  test.each([
    ['one wanted, two there', 'h1 h4', [1, 2], 1, 'met'],
    ['two in two networks', 'h1 h4 h2', [1, 2], 2, 'met'],
    ['two in one network', 'h1 h2 h4', [1, 2], 2, '3/'],
    [
      'one copy: another network, else another host, else the same host',
      'h1 h1 h2 h4',
      [1],
      2,
      '4/2,3',
    ],
    ['three wanted in two networks', 'h1 h2 h4', [1, 3], 3, '/2'],
    ['three on three hosts in two networks', 'h1 h2 h4 h5', [1, 2, 3], 3, 'met'],
    ['four, three wanted', 'h1 h2 h4 h5', [1, 2, 3, 4], 3, 'met'],
    ['four hosts and one disk left, three wanted', 'h1 h2 h4 h5 h5', [1, 2, 3, 4], 3, 'over'],
    ['one network only', 'h1 h2 h3', [1, 2], 2, 'met'],
    ['the other network is away: no pile in this one', 'h1 h2 h3 h4-', [1, 2], 2, 'undecided'],
    ['all disks used', 'h1 h2', [1, 2], 3, 'met'],
    ['no copy at all', 'h1 h4', [], 2, '1,2/'],
  ])('%s', (_, devices, on, min, expected) => {
    expect(say(ask('MultipleNetworks()', { devices: cluster(devices), on, min }))).toBe(expected);
  });
});

describe('HostsPerNetwork (spec §6.6)', () => {
  test.each([
    ['met', 'h1 h2 h4', [1, 2, 3], 'met'],
    ['near needs a host', 'h1 h1 h2 h4', [1, 4], '3/2'],
    ['both need', 'h1 h2 h4', [], '1,2,3/'],
    ['zones not named do not count', 'h1 h2 h4 h7', [1, 2, 3, 4], 'met'],
    ['one too many near', 'h1 h2 h3 h4', [1, 2, 3, 4], 'over'],
    ['too many near, far needs', 'h1 h2 h3 h4', [1, 2, 3], '4/'],
    ['near has one host only: its devices count', 'h1 h1 h4', [1, 2, 3], 'met'],
    ['two on one host, another host near', 'h1 h1 h2 h4', [1, 2, 4], '3/'],
    ['far is away', 'h1 h2 h4-', [1, 2], 'undecided'],
  ])('%s', (_, devices, on, expected) => {
    const policy = 'HostsPerNetwork( near = 2, far=1 )';
    expect(say(ask(policy, { devices: cluster(devices), on, min: 9 }))).toBe(expected);
  });

  test('says which zone waits', () => {
    const answer = ask('HostsPerNetwork(far=1)', { devices: cluster('h1'), on: [1], min: 1 });
    expect(answer).toMatchObject({ reason: expect.stringContaining('far (0 of 1)') });
  });
});

describe('Union: every part is met', () => {
  const policy = 'Union(MultipleHosts(2), HostsPerNetwork(near=1, far=1),)';
  test.each([
    ['met by two hosts in both zones', 'h1 h4', [1, 2], 'met'],
    ['two hosts, but none far', 'h1 h2 h4', [1, 2], '3/'],
    ['a device both ask for goes first', 'h1 h2 h4', [1], '2,3/'],
    ['one copy serves neither: one is surplus', 'h1 h4 h7', [1, 2, 3], 'over'],
    ['too many for one part, needed by the other', 'h4 h5 h1', [1, 2, 3], 'over'],
    ['one part waits', 'h1 h2 h4-', [1, 2], 'undecided'],
  ])('%s', (_, devices, on, expected) => {
    expect(say(ask(policy, { devices: cluster(devices), on, min: 1 }))).toBe(expected);
  });

  test('what one part counts as surplus stays while another needs it', () => {
    const both = 'Union(MultipleHosts(1), HostsPerNetwork(near=1, far=1))';
    expect(say(ask(both, { devices: cluster('h1 h4'), on: [1, 2], min: 1 }))).toBe('met');
  });

  test('the device named by most parts comes first', () => {
    const answer = ask(policy, { devices: cluster('h1 h2 h4'), on: [1], min: 1 });
    expect(answer).toMatchObject({ ideal: [3, 2] });
  });

  test('unions nest, and policies inside take the number of the class', () => {
    const nested = 'Union(Union(MultipleHosts()), MultipleDevices(3))';
    expect(say(ask(nested, { devices: cluster('h1 h1 h2'), on: [1, 3], min: 2 }))).toBe('2/');
  });
});

describe('the text of a policy (spec §6.1)', () => {
  test.each([
    [null, 'MultipleHosts', undefined],
    ['', 'MultipleHosts', undefined],
    ['MultipleHosts()', 'MultipleHosts', undefined],
    [' MultipleHosts \n ( 3 \n) ', 'MultipleHosts', 3],
    ['MultipleDevices(2) and what follows', 'MultipleDevices', 2],
    ['MogileFS::ReplicationPolicy::MultipleHosts(4)', 'MultipleHosts', 4],
  ])('%j is known', (text, name, min) => {
    expect(parsePolicy(text)).toMatchObject({ known: true, name, min });
  });

  test.each([
    'MultipleHosts',
    'MultipleHosts(two)',
    'MultipleHosts(-1)',
    'HostsPerNetwork(near)',
    'HostsPerNetwork()',
    'HostsPerNetwork(near=0)',
    'Union()',
    'Union(MultipleHosts(2), Some::Policy())',
    'Union(MultipleHosts(2) MultipleDevices(2))',
    'Union(MultipleHosts(2)',
    `${'Union('.repeat(20)}MultipleHosts()${')'.repeat(20)}`,
    'Some::Other::Policy()',
    '((((',
  ])('%j is kept as unknown', (text) => {
    expect(parsePolicy(text)).toMatchObject({ known: false, reason: expect.any(String) });
    const answer = ask(text, { devices: cluster('h1 h2'), on: [1], min: 2 });
    expect(answer).toMatchObject({ verdict: 'undecided', reason: expect.any(String) });
  });
});

const zoneHosts = (hosts: ReadonlySet<number>, zone: string): number =>
  [...hosts].filter((hostid) => networkOf(hostid) === zone).length;

describe.each<[string, (usable: ReadonlySet<number>, min: number) => boolean]>([
  ['MultipleHosts()', (hosts, min) => hosts.size >= min],
  ['MultipleDevices()', (hosts, min) => hosts.size >= min],
  [
    'MultipleNetworks()',
    (hosts, min) =>
      hosts.size >= min && zoneHosts(hosts, 'near') > 0 && zoneHosts(hosts, 'far') > 0,
  ],
  [
    'HostsPerNetwork(near=2, far=2)',
    (hosts) => zoneHosts(hosts, 'near') >= 2 && zoneHosts(hosts, 'far') >= 2,
  ],
  [
    'Union(MultipleHosts(), HostsPerNetwork(near=1, far=1))',
    (hosts, min) =>
      hosts.size >= min && zoneHosts(hosts, 'near') > 0 && zoneHosts(hosts, 'far') > 0,
  ],
])('%s on random clusters', (policy, isPossible) => {
  test('names only devices that can take a copy, and ends content when there are enough', () => {
    for (let seed = 1; seed <= 500; seed += 1) {
      const random = seeded(seed);
      const devices = randomDevices(random);
      const min = 1 + Math.floor(random() * 4);
      const on = [1 + Math.floor(random() * devices.length)];
      const failed = devices.filter(() => random() < 0.1).map(({ devid }) => devid);
      const verdict = applyUntilSettled(policy, { devices, on, min, failed });
      const usable = devices.filter(({ devid, takesFiles }) => {
        return (takesFiles && !failed.includes(devid)) || on[0] === devid;
      });
      const content = isPossible(new Set(usable.map(({ hostid }) => hostid)), min);
      const expected = content && verdict !== 'over' ? 'met' : verdict;
      expect({ seed, verdict }).toEqual({ seed, verdict: expected });
    }
  });
});

function randomHost(random: () => number): { hostid: number; network: string } {
  const hostid = 1 + Math.floor(random() * 5);
  return { hostid, network: networkOf(hostid) };
}

function randomDevices(random: () => number): PolicyDevice[] {
  return Array.from({ length: 1 + Math.floor(random() * 12) }, (_, index) => {
    const alive = random() < 0.8;
    return {
      devid: index + 1,
      ...randomHost(random),
      freeShare: 0.1 + random() * 0.9,
      weight: 100,
      alive,
      dead: !alive && random() < 0.5,
      takesFiles: alive && random() < 0.9,
    };
  });
}

function applyUntilSettled(
  policy: string,
  situation: { devices: PolicyDevice[]; on: number[]; min: number; failed: number[] },
): string {
  const on = [...situation.on];
  for (let step = 0; step <= situation.devices.length; step += 1) {
    const answer = ask(policy, { ...situation, on });
    if (answer.verdict !== 'short') return answer.verdict;
    for (const devid of [...answer.ideal, ...answer.desperate]) {
      expect(on).not.toContain(devid);
      expect(situation.failed).not.toContain(devid);
      expect(situation.devices[devid - 1]).toMatchObject({ takesFiles: true, dead: false });
    }
    const next = answer.ideal[0] ?? answer.desperate[0];
    if (next === undefined) return 'nothing named';
    on.push(next);
  }
  throw new Error('the policy never settles');
}
