/** Goal: a file that rots is found, moved aside and reported, and nothing else is. Method: files
 *  are changed on the disk behind the back of a node, and a device is scrubbed with its state. */
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath, type ScrubAnswer, scrubHeader, scrubPath } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { launchMogstored, readCalls } from '../../../test/helpers/mogstored.ts';
import { until } from '../../../test/helpers/wait.ts';
import { Devices } from '../src/device/devices.ts';
import type { Runner } from '../src/device/io/runner.ts';
import { Scrub } from '../src/integrity/scrub.ts';
import { walk } from '../src/integrity/walk.ts';
import { ask, createDocroot, put, quiet, startNode } from './helpers.ts';

const hash = (algorithm: string, body: string | Buffer) =>
  createHash(algorithm).update(body).digest('base64');

/** A device as a node sees it, without the node. */
async function openDevice(docroot: string, devid = 1) {
  const sync = 'never' as const;
  const common = { threads: 16, reserveBytes: 0, adopt: [], log: quiet };
  const devices = await Devices.open({ docroot, sync, ...common });
  onTestFinished(() => devices.close());
  const device = await devices.find(devid);
  const scrub = new Scrub(device, { bytesPerSecond: 1e12, log: quiet });
  onTestFinished(() => scrub.close());
  return { device, scrub };
}

/** Changes one byte of a file and nothing that a stat would show. */
async function rot(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  const { atime, mtime } = await handle.stat();
  const { mtimeNs } = await handle.stat({ bigint: true });
  await handle.write(Buffer.from([0xff]), 0, 1, 2);
  await handle.close();
  await utimes(file, atime, Number(mtimeNs) / 1e9 || mtime);
}

const logLines = async (docroot: string) => {
  const text = await readFile(join(docroot, 'dev1/0/000/000/.omgfs-digests'), 'utf8');
  return text.split('\n').filter((line) => line !== '');
};

test('scrub finds what rotted, moves it to quarantine and reports it over HTTP', async () => {
  const { url, docroot, node } = await startNode();
  const rotten = randomBytes(300_000);
  const files: [number, Buffer][] = [
    [5, Buffer.from('fine')],
    [6, rotten],
    [7, randomBytes(4096)],
  ];
  for (const [fid, body] of files) {
    const headers = { 'content-md5': hash('md5', body) };
    expect((await put(url + fidPath(1, fid), body, headers)).status).toBe(201);
  }
  await put(url + fidPath(1, 8), 'without a digest');
  // A whole second, so that the time can be put back exactly.
  for (const fid of [6]) await utimes(join(docroot, fidPath(1, fid)), 1e9, 1e9);
  await node.close();
  expect(await logLines(docroot)).toHaveLength(3);
  const first = await openDevice(docroot);
  await first.scrub.round();
  expect(first.scrub.report.totals).toMatchObject({ files: 4, verified: 2, recorded: 2 });
  await first.device.digests.flush();
  await rot(join(docroot, fidPath(1, 6)));
  await first.scrub.round();
  expect(first.scrub.report.totals).toMatchObject({ files: 4, verified: 4, recorded: 0 });
  const again = await startNode({ docroot });
  const answer = await ask(`${again.url}/dev1/.omgfs/scrub`);
  expect(answer.headers['content-type']).toBe('application/json');
  const report = JSON.parse(answer.text) as { rounds: number; findings: Record<string, string>[] };
  expect(report).toMatchObject({ devid: 1, rounds: 2, position: '' });
  expect(report.findings).toHaveLength(1);
  const [finding = {}] = report.findings;
  expect(finding).toMatchObject({ name: '0/000/000/0000000006.fid', kind: 'corrupt' });
  const moved = await readFile(join(docroot, 'dev1', finding.quarantine ?? ''));
  expect(moved.length).toBe(rotten.length);
  expect((await ask(again.url + fidPath(1, 6))).status).toBe(404);
  expect((await ask(again.url + fidPath(1, 5))).text).toBe('fine');
  expect((await ask(`${again.url}/dev2/.omgfs/scrub`)).status).toBe(200);
  expect((await ask(`${again.url}/dev9/.omgfs/scrub`)).status).toBe(404);
  for (const hidden of ['.omgfs', '.omgfs/scrub.json', '.omgfs/quarantine/x']) {
    expect((await ask(`${again.url}/dev1/${hidden}`)).status).toBe(403);
  }
});

test('a rotten file stays in place until its finding can be kept', async () => {
  const { url, docroot, node } = await startNode();
  const headers = { 'content-md5': hash('md5', 'fine') };
  expect((await put(url + fidPath(1, 6), 'fine', headers)).status).toBe(201);
  await node.close();
  const file = join(docroot, fidPath(1, 6));
  await utimes(file, 1e9, 1e9);
  const recording = await openDevice(docroot);
  await recording.scrub.round();
  await recording.device.digests.flush();
  await rot(file);
  const state = join(docroot, 'dev1/.omgfs');
  const saved = JSON.parse(await readFile(join(state, 'scrub.json'), 'utf8')) as object;
  const findings = Array.from({ length: 1000 }, (_, index) => {
    return { name: `${index}`, kind: 'unreadable', reason: 'EIO', at: `${index}` };
  });
  await writeFile(join(state, 'scrub.json'), JSON.stringify({ ...saved, findings }));
  const { scrub } = await openDevice(docroot);
  await scrub.load();
  await scrub.round();
  expect(scrub.report.findings).toEqual(findings);
  expect((await readFile(file)).length).toBe(4);
  // Nor when the report cannot be saved.
  await scrub.obey({ handled: [{ name: '0', at: '0', outcome: 'done' }] });
  await rm(join(state, 'scrub.json'));
  await mkdir(join(state, 'scrub.json'));
  await scrub.round();
  expect(scrub.report.waiting).toHaveLength(999);
  expect((await readFile(file)).length).toBe(4);
  await rm(join(state, 'scrub.json'), { recursive: true });
  await scrub.round();
  expect(scrub.report.waiting).toHaveLength(1000);
  const name = '0/000/000/0000000006.fid';
  expect(scrub.report.waiting.at(-1)).toMatchObject({ name, kind: 'corrupt' });
  expect(await readdir(join(state, 'quarantine'))).toHaveLength(1);
  expect(await readFile(join(state, 'scrub.json'), 'utf8')).toContain(name);
});

test('a file that was replaced, with or without a digest, is never called corrupt', async () => {
  const { url, docroot, node } = await startNode();
  const path = fidPath(1, 5);
  await put(url + path, 'first', { 'content-md5': hash('md5', 'first') });
  await put(url + path, 'other');
  await put(url + fidPath(1, 6), 'first', { 'content-md5': hash('md5', 'first') });
  await node.close();
  // As rsync or a person does it.
  await writeFile(join(docroot, fidPath(1, 6)), 'FIRST');
  const { scrub } = await openDevice(docroot);
  await scrub.round();
  expect(scrub.report.findings).toEqual([]);
  expect(scrub.report.totals).toMatchObject({ files: 2, verified: 0, recorded: 2 });
  await scrub.round();
  expect(scrub.report.totals).toMatchObject({ verified: 2 });
});

test('a torn or damaged digest file costs digests and nothing else', async () => {
  const { url, docroot, node } = await startNode();
  for (const fid of [5, 6, 7]) {
    await put(url + fidPath(1, fid), `${fid}`, { 'content-md5': hash('md5', `${fid}`) });
  }
  await node.close();
  const log = join(docroot, 'dev1/0/000/000/.omgfs-digests');
  const text = await readFile(log, 'utf8');
  await writeFile(log, text.slice(0, -10).replace(/5\.fid/, '4.fid'));
  await appendFile(log, '\0\0\0garbage % %zz\n\xff');
  const { scrub, device } = await openDevice(docroot);
  expect((await device.digests.load('0/000/000')).entries.size).toBe(1);
  await scrub.round();
  expect(scrub.report.findings).toEqual([]);
  expect(scrub.report.totals).toMatchObject({ files: 3, verified: 1, recorded: 2 });
  await scrub.round();
  expect(scrub.report.totals).toMatchObject({ files: 3, verified: 3, recorded: 0 });
});

test('a scrub goes on where it was ended, and shrinks outgrown digest files', async () => {
  const { url, docroot, node } = await startNode();
  const body = Buffer.alloc(100);
  const headers = { 'content-md5': hash('md5', body) };
  const fids = Array.from({ length: 130 }, (_, index) => index * 1000 + 1);
  await Promise.all(fids.map((fid) => put(url + fidPath(1, fid), body, headers)));
  for (let round = 0; round < 110; round += 1) await put(url + fidPath(1, 1), body, headers);
  await node.close();
  expect((await logLines(docroot)).length).toBe(111);
  const slow = await openDevice(docroot);
  const paced = new Scrub(slow.device, { bytesPerSecond: 300_000, log: quiet });
  const ended = paced.round().catch(() => {});
  await until('some files are read', () => paced.report.totals.files >= 3);
  await paced.close();
  await ended;
  const text = await readFile(join(docroot, 'dev1/.omgfs/scrub.json'), 'utf8');
  const { position } = JSON.parse(text) as { position: string };
  expect(position).toMatch(/^0\/00\d\/\d{3}\/\d+\.fid$/);
  const seen = paced.report.totals.files;
  const next = await openDevice(docroot);
  next.scrub.start();
  await until('the round is over', () => next.scrub.report.rounds === 1);
  expect(next.scrub.report.totals.files).toBe(130);
  // Whoever asks for another rate wants to see it, and not only when the rest is over.
  await next.scrub.obey({ bytesPerSecond: 1e11 });
  await until('another round', () => next.scrub.report.rounds === 2);
  expect(seen).toBeLessThan(130);
  expect((await logLines(docroot)).length).toBe(1);
  // The next round may just be writing its report.
  await until('no temporary file is left', async () => {
    return (await readdir(join(docroot, 'dev1/.tmp'))).length === 0;
  });
});

test('digests outlive a round that begins in the middle of a directory', async () => {
  const { url, docroot, node } = await startNode();
  const headers = { 'content-md5': hash('md5', 'x') };
  const fids = Array.from({ length: 130 }, (_, index) => index + 1);
  await Promise.all(fids.map((fid) => put(url + fidPath(1, fid), 'x', headers)));
  await node.close();
  const state = join(docroot, 'dev1/.omgfs');
  await mkdir(state, { recursive: true });
  const totals = { files: 129, bytes: 129, verified: 129, recorded: 0 };
  const saved = { position: '0/000/000/0000000129.fid', rounds: 0, totals, findings: [] };
  await writeFile(join(state, 'scrub.json'), JSON.stringify(saved));
  const { scrub, device } = await openDevice(docroot);
  await scrub.load();
  await scrub.round();
  expect(scrub.report.totals).toMatchObject({ files: 130, verified: 130 });
  expect((await device.digests.load('0/000/000')).entries.size).toBe(130);
});

/** Files of a device that rots, and a scrub that stands still in the midst of them. */
async function scrubHalfWay(fids: readonly number[]) {
  const { url, docroot, node } = await startNode();
  const headers = { 'content-md5': hash('md5', 'fine') };
  for (const fid of fids) await put(url + fidPath(1, fid), 'fine', headers);
  await node.close();
  const opened = await openDevice(docroot);
  // Slow enough for seconds in which this process has no processor.
  await opened.scrub.obey({ bytesPerSecond: 20_000 });
  await until('some are read', () => opened.scrub.report.totals.files > 0, { everyMs: 5 });
  await opened.scrub.obey({ bytesPerSecond: 1 });
  expect(opened.scrub.report.totals.files).toBeLessThan(fids.length - 1);
  return { ...opened, docroot };
}

test('what is stored while its directory is gone over is compared too', async () => {
  const { device, scrub, docroot } = await scrubHalfWay([1, 2, 3, 4, 5, 6, 7, 8]);
  const name = '0/000/000/0000000008.fid';
  const file = join(docroot, 'dev1', name);
  await writeFile(`${file}.new`, 'other');
  await utimes(`${file}.new`, 1e9, 1e9);
  await rename(`${file}.new`, file);
  const digests = { md5: createHash('md5').update('other').digest('hex') };
  device.digests.record(name, await stat(file), digests);
  await rot(file);
  await scrub.obey({ bytesPerSecond: 1e12 });
  const isFound = () => scrub.report.waiting.some((one) => one.name === name);
  await until('it to be found', isFound);
});

test('a disk that goes while it is scrubbed is gone over from there when it is back', async () => {
  const { device, scrub, docroot } = await scrubHalfWay([1, 2, 3, 4, 5, 6, 7, 8]);
  const place = join(docroot, 'dev1');
  await rename(place, `${place}-away`);
  await scrub.obey({ bytesPerSecond: 1e12 });
  await until('it to be missed', () => device.state === 'refused');
  await rename(`${place}-away`, place);
  await device.look();
  await until('the round to be over', () => scrub.report.rounds > 0);
  expect(scrub.report.totals).toMatchObject({ files: 8, verified: 8 });
});

test('digests for whoever asks: of what is sent, and of the whole file', async () => {
  const { url } = await startNode();
  const small = Buffer.from('hello world');
  const large = randomBytes(600_000);
  const asked = { 'want-repr-digest': 'unixsum=9, sha-256=5, md5=1' };
  const stored = await put(url + fidPath(1, 5), large, asked);
  const whole = `sha-256=:${hash('sha256', large)}:`;
  expect([stored.status, stored.headers['repr-digest']]).toEqual([200, whole]);
  await put(url + fidPath(1, 6), small);
  const want = { 'want-content-digest': 'sha-256=10', 'want-repr-digest': 'sha-256=10' };
  const got = await ask(url + fidPath(1, 5), { headers: want });
  expect(got.headers).toMatchObject({ 'content-digest': whole, 'repr-digest': whole });
  const head = await ask(url + fidPath(1, 5), { method: 'HEAD', headers: want });
  expect(head.headers['repr-digest']).toBe(whole);
  const part = await ask(url + fidPath(1, 5), { headers: { ...want, range: 'bytes=10-19' } });
  const slice = `sha-256=:${hash('sha256', large.subarray(10, 20))}:`;
  expect(part.headers).toMatchObject({ 'content-digest': slice, 'repr-digest': whole });
  for (let round = 0; round < 2; round += 1) {
    const other = await ask(url + fidPath(1, 6), { headers: { 'want-content-digest': 'md5=1' } });
    expect(other.headers['content-digest']).toBe(`md5=:${hash('md5', small)}:`);
    expect((await ask(url + fidPath(1, 6))).headers['content-digest']).toBeUndefined();
  }
  const none = await ask(url + fidPath(1, 6), { headers: { 'want-content-digest': 'sha-256=0' } });
  expect(none.headers['content-digest']).toBeUndefined();
});

test('I6: a file that cannot be read is told from a disk that fails as a whole', async () => {
  const docroot = await createDocroot(1, 2);
  const [bad, good, other] = [fidPath(1, 8), fidPath(1, 9), fidPath(2, 8)];
  const { url, output } = await launchMogstored({
    docroot,
    args: ['--free-reserve-mb', '0', '--metrics-listen', '127.0.0.1:0'],
    bad: { calls: readCalls, paths: [docroot + bad, docroot + other], errno: 'EIO' },
  });
  for (const path of [bad, good, other]) await put(url + path, 'x');
  const answer = await ask(url + bad);
  expect([answer.status, answer.headers['omgfs-error']]).toEqual([500, 'FILE_UNREADABLE']);
  expect(answer.text).toMatch(/dev1 works, but 0\/000\/000\/0000000008\.fid on it cannot be read/);
  expect((await ask(url + bad, { method: 'HEAD' })).status).toBe(200);
  expect((await ask(url + good)).text).toBe('x');
  const metrics = `http://127.0.0.1:${/"metricsPort":(\d+)/.exec(output())?.[1]}/metrics`;
  expect((await ask(metrics)).text).toMatch(/^omgfs_node_device_errors_total\{devid="1"\} [1-9]/m);
  // This disk takes no file, not even one that is tried out.
  await rename(join(docroot, 'dev2/.tmp'), join(docroot, 'dev2/away'));
  await writeFile(join(docroot, 'dev2/.tmp'), '');
  expect((await ask(url + other)).status).toBe(503);
  const scrubbed = async (devid: number): Promise<ScrubAnswer> => {
    const order = { method: 'POST', body: '{"bytesPerSecond":1e9}' };
    const headers = { [scrubHeader]: '1' };
    return until('a whole round', async () => {
      const { text } = await ask(url + scrubPath(devid), { ...order, headers });
      const report = JSON.parse(text) as ScrubAnswer;
      return report.rounds > 0 && report;
    });
  };
  expect((await scrubbed(1)).pending).toMatchObject([{ name: bad.slice(6), kind: 'unreadable' }]);
  expect((await scrubbed(2)).pending).toEqual([]);
});

test('a directory that cannot be listed is told of, and the others are gone over', async () => {
  const docroot = await createDocroot(1);
  const root = join(docroot, 'dev1');
  for (const name of ['a', 'b', 'c']) {
    await mkdir(join(root, name));
    await writeFile(join(root, name, 'file'), name);
  }
  const unreadable: string[] = [];
  const onUnreadable = (path: string) => unreadable.push(path);
  // The third listing: the device, a, b.
  let listings = 0;
  const run: Runner = (call) => {
    listings += 1;
    if (listings !== 3) return call();
    return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
  };
  const seen: string[] = [];
  for await (const { path } of walk(root, '', { run, onUnreadable })) seen.push(path);
  expect([seen, unreadable]).toEqual([['a', 'c'], ['b']]);
});
