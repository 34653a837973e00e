/**
 * Goal: policy strings and states are read as the original does, wrong ones are refused in words.
 * Method: tables over the pure functions.
 */
import { describe, expect, test } from 'vitest';
import { chooseRooms, planEven } from '../../src/placement/rebalance/even.ts';
import { parseRebalancePolicy } from '../../src/placement/rebalance/policy.ts';
import { selectSources, selectTargets } from '../../src/placement/rebalance/select.ts';
import { formatRebalanceState, parseRebalanceState } from '../../src/placement/rebalance/state.ts';

const nothing = {
  mbTotal: 100,
  mbUsed: 50,
  deletable: true,
  takesFiles: true,
};
const devices = [
  { ...nothing, devid: 1, hostid: 1, mbUsed: 90 },
  { ...nothing, devid: 2, hostid: 1, deletable: false },
  { ...nothing, devid: 3, hostid: 2, mbTotal: null, mbUsed: null },
  { ...nothing, devid: 4, hostid: 2, mbUsed: 10 },
  { ...nothing, devid: 5, hostid: 3, takesFiles: false },
];

describe('policy', () => {
  test.each([
    ['bogus', 'Invalid setting bogus'],
    ['from_nosuch=1', 'Invalid setting from_nosuch'],
    ['from_devices=abc', 'Invalid value abc for from_devices: ids, not abc'],
    ['from_percent_used=101', 'Invalid value 101 for from_percent_used: a number from 0 to 100'],
    ['limit_by=size', 'limit_by=size needs a limit'],
    ['limit_by=count limit=0', 'Invalid value 0 for limit: a number above 0'],
    ['limit_by=count limit=-3', 'Invalid value -3 for limit: a number above 0'],
    ['limit_by=count limit=5g', 'Invalid value 5g for limit: a number above 0'],
    ['limit_by=percent limit=101', 'Invalid value 101 for limit: a number from 1 to 100'],
    [
      'limit_by=size limit=99999999p',
      expect.stringMatching(/^Invalid value 99999999p for limit: digits/),
    ],
    ['limit_by=luck', 'Invalid value luck for limit_by: one of none, size, count, percent'],
    ['limit_type=half', 'Invalid value half for limit_type: one of device, global'],
    ['use_dest_devs=0', 'Invalid value 0 for use_dest_devs: all, or a number above 0'],
    ['leave_in_drain_mode=yes', 'Invalid value yes for leave_in_drain_mode: one of 0, 1'],
  ])('%s is refused', (text, wireText) => {
    expect(() => parseRebalancePolicy(text)).toThrow(expect.objectContaining({ wireText }));
  });

  test('every option is read', () => {
    const text = `from_all_devs=1 from_hosts=1,2 from_space_used=5 fid_age=new to_all_devs=1
      limit_type=global limit_by=size limit=2g not_to_hosts=3 not_to_devices=4 to_space_free=7
      use_dest_devs=2 leave_in_drain_mode=1`;
    expect(parseRebalancePolicy(text)).toMatchObject({
      from: { hosts: [1, 2], spaceUsed: 5 },
      to: { notHosts: [3], notDevices: [4], spaceFree: 7 },
      newestFirst: true,
      limitType: 'global',
      limitBy: 'size',
      limit: 2 * 2 ** 30,
      targetsMax: 2,
      leaveInDrain: true,
    });
  });

  test.each([
    ['', [1, 3, 4, 5], [2]],
    ['from_devices=1', [1], [2, 3, 4]],
    ['from_hosts=2 to_hosts=1', [3, 4], [1, 2]],
    ['from_percent_used=50', [1], [2, 3, 4]],
    ['from_percent_free=50 not_to_hosts=1', [4], [3]],
    ['from_devices=1 to_percent_free=50', [1], [4]],
    ['from_devices=1 to_space_used=10 not_to_devices=3', [1], [2]],
  ])('%s chooses', (text, sources, targets) => {
    const policy = parseRebalancePolicy(text);
    expect(selectSources(policy, devices)).toEqual(sources);
    expect(selectTargets(policy, devices, sources)).toEqual(targets);
  });
});

describe('state', () => {
  test('what the original writes comes back', () => {
    const text =
      'sdev_lastfid=12 completed_devs=,3 source_devs=4,5 sdev_current=7 time_started=9 limit=1024';
    const state = parseRebalanceState(text);
    expect(state).toMatchObject({ lastFid: 12, completed: [3], sources: [4, 5], current: 7 });
    expect(parseRebalanceState(formatRebalanceState(state))).toEqual(state);
  });

  test('garbage is as nothing', () => {
    expect(parseRebalanceState('== a=b sdev_current=-1 source_devs=x limit=9'.repeat(3))).toEqual(
      parseRebalanceState('limit=9'),
    );
  });
});

describe('evening out', () => {
  test('what is above the mean goes where it is missing', () => {
    const plan = planEven(
      [
        { devid: 1, total: 100, used: 90 },
        { devid: 2, total: 100, used: 50 },
        { devid: 3, total: 200, used: 60 },
      ],
      5,
    );
    expect(plan).toMatchObject({ isEven: false, meanPercent: 50, spreadPercent: 40 });
    expect(plan.sheds).toEqual([[1, 40]]);
    expect(plan.rooms).toEqual([[3, 40]]);
  });

  test('within the tolerance nothing is done', () => {
    const one = { total: 100, used: 50 };
    const plan = planEven(
      [
        { ...one, devid: 1 },
        { ...one, devid: 2, used: 54 },
      ],
      5,
    );
    expect(plan).toMatchObject({ isEven: true, sheds: [], rooms: [] });
    expect(planEven([], 5)).toMatchObject({ isEven: true });
  });

  test('only devices with room for the file are chosen', () => {
    const rooms = [
      [1, 10],
      [2, 500],
      [3, 400],
    ] as const;
    const chosen = chooseRooms(rooms, { bytes: 100, count: 3, random: () => 0.5 });
    expect(chosen.toSorted()).toEqual([2, 3]);
  });
});
