/**
 * Goal: the policies answer as spec §6.3 and §6.4 say, and applying them again and again ends.
 * Method: the truth tables of the spec, then random clusters from a seeded generator.
 */
import { describe, expect, test } from 'vitest';
import type { PolicyAnswer, PolicyDevice, PolicyQuestion } from '../../src/placement/contract.ts';
import { askPolicy, parsePolicy } from '../../src/placement/policy.ts';
import { seeded } from './seeded.ts';

/** `h1 h1 h2~`: one device a word, in order devid 1, 2, …; marks: ~ drain, ! down, x dead. */
function cluster(text: string): PolicyDevice[] {
  return text.split(' ').map((word, index) => {
    const mark = word.slice(2);
    return {
      devid: index + 1,
      hostid: Number(word[1]),
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
    'HostsPerNetwork(near=2, far=1)',
    'Union(MultipleHosts(2), MultipleDevices(3),)',
    'Some::Other::Policy()',
    '((((',
  ])('%j is kept as unknown', (text) => {
    expect(parsePolicy(text)).toMatchObject({ known: false, reason: expect.any(String) });
    const answer = ask(text, { devices: cluster('h1 h2'), on: [1], min: 2 });
    expect(answer).toMatchObject({ verdict: 'undecided', reason: expect.any(String) });
  });
});

describe.each(['MultipleHosts()', 'MultipleDevices()'])('%s on random clusters', (policy) => {
  test('names only devices that can take a copy, and ends met when there are enough', () => {
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
      const hosts = new Set(usable.map(({ hostid }) => hostid)).size;
      expect({ seed, verdict }).toEqual({ seed, verdict: hosts >= min ? 'met' : verdict });
    }
  });
});

function randomDevices(random: () => number): PolicyDevice[] {
  return Array.from({ length: 1 + Math.floor(random() * 12) }, (_, index) => {
    const alive = random() < 0.8;
    return {
      devid: index + 1,
      hostid: 1 + Math.floor(random() * 5),
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
