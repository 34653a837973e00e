/**
 * How to even devices out: every device that is above the mean gives what is above it, every one
 * below takes what is missing. Pure.
 */

export interface EvenDevice {
  devid: number;
  /** Bytes. */
  total: number;
  used: number;
}

export interface EvenPlan {
  /** All devices are within the tolerance of the mean. */
  isEven: boolean;
  /** Share of the space that is used, over all devices, in per cent. */
  meanPercent: number;
  /** Largest distance of a device from the mean, in per cent points. */
  spreadPercent: number;
  /** Bytes to give, and to take, by devid; the fullest device first. */
  sheds: [number, number][];
  rooms: [number, number][];
}

/** `tolerance` is in per cent points. Devices without figures must be left out. */
export function planEven(devices: readonly EvenDevice[], tolerance: number): EvenPlan {
  const total = devices.reduce((sum, device) => sum + device.total, 0);
  const used = devices.reduce((sum, device) => sum + device.used, 0);
  const mean = total === 0 ? 0 : used / total;
  const offsets = devices.map((device) => ({
    devid: device.devid,
    bytes: Math.round(device.used - mean * device.total),
    percent: 100 * (device.used / device.total - mean),
  }));
  const spreadPercent = Math.max(0, ...offsets.map(({ percent }) => Math.abs(percent)));
  const isEven = spreadPercent <= tolerance;
  const ordered = offsets.toSorted((a, b) => b.percent - a.percent);
  const sheds = ordered.filter(({ bytes }) => bytes > 0);
  const rooms = ordered.filter(({ bytes }) => bytes < 0);
  return {
    isEven,
    meanPercent: 100 * mean,
    spreadPercent,
    sheds: isEven ? [] : sheds.map(({ devid, bytes }) => [devid, bytes]),
    rooms: isEven ? [] : rooms.map(({ devid, bytes }) => [devid, -bytes]),
  };
}

/** Up to `count` devices that have room for a file, those with more room rather than others. */
export function chooseRooms(
  rooms: readonly (readonly [number, number])[],
  request: { bytes: number; count: number; random: () => number },
): number[] {
  const left = rooms.filter(([, room]) => room >= request.bytes && room > 0);
  const chosen: number[] = [];
  while (left.length > 0 && chosen.length < request.count) {
    let point = request.random() * left.reduce((sum, [, room]) => sum + room, 0);
    const at = left.findIndex(([, room]) => {
      point -= room;
      return point < 0;
    });
    const [taken] = left.splice(at < 0 ? left.length - 1 : at, 1);
    if (taken !== undefined) chosen.push(taken[0]);
  }
  return chosen;
}
