/** Where a fid lives below a docroot and on the wire (spec §4.1). */

/** Path of a replica below the docroot and in its URL, with a leading slash. */
export function fidPath(devid: number, fid: number): string {
  const digits = String(fid).padStart(10, '0');
  const dirs = `${digits[0]}/${digits.slice(1, 4)}/${digits.slice(4, 7)}`;
  return `/dev${devid}/${dirs}/${digits}.fid`;
}

/** The directories above a replica, outermost first, each with a trailing slash (spec §9.2). */
export function fidDirectories(devid: number, fid: number): [string, string, string] {
  const digits = String(fid).padStart(10, '0');
  const first = `/dev${devid}/${digits[0]}/`;
  const second = `${first}${digits.slice(1, 4)}/`;
  return [first, second, `${second}${digits.slice(4, 7)}/`];
}

const fidPathPattern = /^\/dev(\d{1,9})\/\d\/\d{3}\/\d{3}\/(\d{10,16})\.fid$/;

/** The device and fid of a replica path, or undefined when the path is not exactly one. */
export function parseFidPath(path: string): { devid: number; fid: number } | undefined {
  const match = fidPathPattern.exec(path);
  if (match === null) return undefined;
  const devid = Number(match[1]);
  const fid = Number(match[2]);
  return fidPath(devid, fid) === path ? { devid, fid } : undefined;
}
