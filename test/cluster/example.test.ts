/**
 * Goal: the example site does in a browser what its README says: several files uploaded at once,
 * thumbnails, a film with seeking, rename and delete; it shows pictures while a storage node is
 * dead, refuses what it must in words, and one Ctrl-C leaves nothing behind.
 * Method: its one command, Debian's Chromium, requests beside it; a storage node gets SIGKILL.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@omgfs/client';
import { type Browser, chromium, type Page } from 'playwright-core';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guard } from '../helpers/mariadb.ts';
import { until } from '../helpers/wait.ts';
import { webm } from '../helpers/webm.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fileBytesMax = 16 * 1024 * 1024;
const picture = { width: 800, height: 600 };
const film = { width: 320, height: 240, durationMs: 10_000 };

let dir: string;
let site: ChildProcess;
let said = '';
let url: string;
let client: Client;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'omgfs-example-'));
  const limits = { FILE_BYTES_MAX: String(fileBytesMax) };
  site = spawn('npm', ['start', '-w', 'examples/uploads'], {
    cwd: root,
    env: { ...process.env, ...limits, OMGFS_DIR: join(dir, 'state'), PORT: '0' },
    // As in a terminal: one group, which a Ctrl-C reaches whole.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  guard(site.pid ?? 0, 'TERM');
  for (const stream of [site.stdout, site.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  url = await until('the site to be up', () => {
    if (site.exitCode !== null) throw new Error(said);
    // Its last line, because what it says may come in pieces.
    return said.includes('Ctrl-C') && /up: (\S+)\/$/m.exec(said)?.[1];
  });
  const trackers = Array.from(said.matchAll(/tracker +(\S+)/g), ([, address]) => address ?? '');
  client = createClient({ trackers, domain: 'uploads' });
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required'],
  });
  page = await browser.newPage();
});
afterAll(async () => {
  await browser?.close();
  await client?.close();
  if (site?.exitCode === null && site.signalCode === null) await interrupt();
  await rm(dir, { recursive: true, force: true });
});

async function interrupt(): Promise<void> {
  const ended = once(site, 'exit');
  process.kill(-(site.pid ?? 0), 'SIGINT');
  await ended;
}

/** Runs a script in the page; the types of a browser are not those of this program. */
function inPage<T>(script: string): Promise<T> {
  return page.evaluate<T>(script);
}

interface Upload {
  name: string;
  bytes: Buffer;
}

/** @returns the path of the file, which a browser reads faster than what it is handed. */
async function saved({ name, bytes }: Upload): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, bytes);
  return path;
}

async function uploadAll(files: Upload[]): Promise<void> {
  await page.goto(url);
  await page.setInputFiles('#files', await Promise.all(files.map(saved)));
  await page.click('#upload button');
  for (const { name } of files) await listed(name).waitFor();
}

/** A file in the gallery. */
function listed(name: string) {
  return page.locator('.gallery .name').getByText(name, { exact: true });
}

/** A picture painted by the browser. */
async function painted(name: string, colour: string): Promise<Upload> {
  const base64 = await inPage<string>(`(() => {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, ${JSON.stringify(picture)});
    const context = canvas.getContext('2d');
    context.fillStyle = '${colour}';
    context.fillRect(0, 0, canvas.width, canvas.height);
    return canvas.toDataURL('image/png').split(',')[1];
  })()`);
  return { name, bytes: Buffer.from(base64, 'base64') };
}

/** Noise, so that it is too long to be loaded whole at once. */
async function filmed(name: string): Promise<Upload> {
  const frames = await inPage<{ timeMs: number; key: boolean; base64: string }[]>(`(async () => {
    const { width, height, durationMs } = ${JSON.stringify(film)};
    const frames = [];
    const output = (chunk) => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
      const key = chunk.type === 'key';
      frames.push({ timeMs: chunk.timestamp / 1000, key, base64: btoa(text) });
    };
    const encoder = new VideoEncoder({ output, error: (error) => { throw error; } });
    encoder.configure({ codec: 'vp8', width, height, bitrate: 8_000_000 });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d');
    for (let timeMs = 0; timeMs < durationMs; timeMs += 100) {
      const noise = context.createImageData(width, height);
      for (let at = 0; at < noise.data.length; at += 1) noise.data[at] = Math.random() * 255;
      context.putImageData(noise, 0, 0);
      const frame = new VideoFrame(canvas, { timestamp: timeMs * 1000 });
      encoder.encode(frame, { keyFrame: timeMs % 1000 === 0 });
      frame.close();
    }
    await encoder.flush();
    return frames;
  })()`);
  const decoded = frames.map(({ base64, ...frame }) => {
    return { ...frame, bytes: Buffer.from(base64, 'base64') };
  });
  return { name, bytes: webm(decoded, film) };
}

/** Sizes of the pictures that match, once all are loaded; 0 for one that does not load. */
async function loaded(selector: string, count: number): Promise<number[]> {
  return until(`${count} pictures at ${selector}`, async () => {
    const widths = await inPage<number[] | undefined>(`(() => {
      const pictures = [...document.querySelectorAll(${JSON.stringify(selector)})];
      for (const picture of pictures) picture.loading = 'eager';
      if (pictures.some(({ complete }) => !complete)) return undefined;
      return pictures.map(({ naturalWidth }) => naturalWidth);
    })()`);
    return widths?.length === count && widths;
  });
}

async function open(name: string): Promise<void> {
  await page.goto(url);
  await listed(name).click();
  await page.getByRole('heading', { name }).waitFor();
}

const nasty = "naïve <b>&'ö.png";

describe('in a browser', () => {
  test('two pictures are uploaded at once and shown as thumbnails', async () => {
    await page.goto(url);
    const blue = await painted('blue.png', '#33f');
    await uploadAll([blue, await painted(nasty, '#f33')]);
    expect(await loaded('.gallery img', 2)).toEqual([320, 320]);
    const info = await client.info(await thumbnailOf('blue.png'));
    expect(info).toMatchObject({ class: 'thumb', devcount: 1 });
  });

  test('a picture opens whole', async () => {
    for (const name of ['blue.png', nasty]) {
      await open(name);
      expect(await loaded('img.whole', 1)).toEqual([picture.width]);
    }
  });

  test('a film plays from where it is sought', async () => {
    await page.goto(url);
    await uploadAll([await filmed('noise.webm')]);
    const parts: { status: number; range: string }[] = [];
    page.on('response', async (response) => {
      if (!response.url().includes('/files/')) return;
      const range = (await response.headerValue('content-range')) ?? '';
      parts.push({ status: response.status(), range });
    });
    await open('noise.webm');
    const position = await inPage<number>(`(async () => {
      const video = document.querySelector('video');
      const happened = (event) => new Promise((resolve, reject) => {
        video.addEventListener(event, resolve, { once: true });
        video.addEventListener('error', () => reject(new Error(video.error.message)));
      });
      if (video.readyState < 1) await happened('loadedmetadata');
      const sought = happened('seeked');
      video.currentTime = 8.5;
      await sought;
      return video.currentTime;
    })()`);
    expect(position).toBeCloseTo(8.5, 1);
    expect(await inPage<number>("document.querySelector('video').duration")).toBeCloseTo(10, 1);
    expect(new Set(parts.map(({ status }) => status))).toEqual(new Set([206]));
    // It jumped instead of reading everything up to there.
    await until('a part from the middle', () =>
      parts.some(({ range }) => !/^bytes 0-/.test(range)),
    );
  });

  test('a file gets another name', async () => {
    await open('blue.png');
    await page.fill('#name', 'azure.png');
    await page.click('text=Rename');
    await page.getByRole('heading', { name: 'azure.png' }).waitFor();
    expect(await loaded('img.whole', 1)).toEqual([picture.width]);
  });

  test('a deleted file is gone, its thumbnail, too', async () => {
    await page.goto(url);
    await uploadAll([await painted('short-lived.png', '#3f3')]);
    await loaded('.gallery img', 3);
    const thumbnail = await thumbnailOf('short-lived.png');
    await client.info(thumbnail);
    await open('short-lived.png');
    const source = await page.locator('img.whole').getAttribute('src');
    await page.click('text=Delete');
    await page.waitForURL(`${url}/`);
    expect(await listed('short-lived.png').count()).toBe(0);
    expect((await get(source ?? '')).status).toBe(404);
    await expect(client.info(thumbnail)).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  test('a file that is too large is refused before it is sent', async () => {
    await page.goto(url);
    const big = await saved({ name: 'big.bin', bytes: Buffer.alloc(fileBytesMax + 1) });
    await page.setInputFiles('#files', big);
    await page.click('#upload button');
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').textContent()).toMatch(/^big.bin: is larger than/);
  });

  test('the form works without a script', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const plain = await context.newPage();
    await plain.goto(url);
    const text = await saved({ name: 'plain.txt', bytes: Buffer.from('some text') });
    await plain.setInputFiles('#files', text);
    await plain.click('#upload button');
    await plain.getByText('plain.txt').waitFor();
    await context.close();
  });
});

/** The key of the thumbnail of a file. */
async function thumbnailOf(name: string): Promise<string> {
  return `thumbs/${await idOf(name)}`;
}

async function idOf(name: string): Promise<string> {
  for await (const key of client.list({ prefix: 'up/' })) {
    const [, id = '', own] = key.split('/');
    if (own === name) return id;
  }
  throw new Error(`${name} is not stored`);
}

async function get(path: string, headers: Record<string, string> = {}) {
  const { statusCode, headers: answered, body } = await request(`${url}${path}`, { headers });
  return { status: statusCode, headers: answered, text: await body.text() };
}

function form(name: string, content: string): { body: string; type: string } {
  const disposition = `Content-Disposition: form-data; name="files"; filename="${name}"`;
  return {
    body: `--cut\r\n${disposition}\r\n\r\n${content}\r\n--cut--\r\n`,
    type: 'multipart/form-data; boundary=cut',
  };
}

async function post(name: string, content: string, headers: Record<string, string> = {}) {
  const { body, type } = form(name, content);
  const answer = await request(`${url}/upload`, {
    method: 'POST',
    headers: { 'content-type': type, accept: 'application/json', ...headers },
    body,
  });
  return { status: answer.statusCode, text: await answer.body.text() };
}

describe('by hand', () => {
  test.each([
    ['drawing.svg', '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'],
    ['page.html', '<script>alert(1)</script>'],
    ['constructor', 'no ending'],
  ])('%s is saved, not shown, and guarded against guesses', async (name, content) => {
    expect((await post(name, content)).status).toBe(201);
    const { status, headers, text } = await get(`/files/${await idOf(name)}/${name}`);
    expect({ status, text }).toEqual({ status: 200, text: content });
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="${name}"`,
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringMatching(/^sandbox;/),
    });
  });

  test('a file beyond the limit is refused in words, and nothing of it is stored', async () => {
    const { status, text } = await post('big.txt', 'x'.repeat(fileBytesMax + 1));
    expect({ status, text }).toEqual({
      status: 413,
      text: '{"error":"“big.txt” is larger than 16 MiB, the limit of this site."}',
    });
    await expect(idOf('big.txt')).rejects.toThrow('is not stored');
    expect((await post('fits.txt', 'x'.repeat(fileBytesMax))).status).toBe(201);
  });

  test('of an upload that is broken off nothing is to be seen', async () => {
    const { body, type } = form('cut.txt', 'x'.repeat(4_000_000));
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port) });
    const head = `POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n`;
    socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 3_000_000)}`);
    await until('the upload to be under way', async () => {
      const files = await readdir(join(dir, 'state'), { recursive: true });
      return files.some((path) => /\/dev\d+\/\.tmp\/./.test(path));
    });
    const closed = once(socket, 'close');
    socket.destroy();
    await closed;
    expect((await post('after.txt', 'x')).status).toBe(201);
    await expect(idOf('cut.txt')).rejects.toThrow('is not stored');
  });

  test('another site cannot change anything', async () => {
    const strange = await post('strange.txt', 'x', { origin: 'http://evil.example' });
    expect(strange).toEqual({
      status: 403,
      text: '{"error":"This request came from another site."}',
    });
    const own = await post('own.txt', 'x', { origin: url });
    expect(own.status).toBe(201);
  });

  test.each(['/view/none', '/view/%2e%2e%2fx', '/files/none/x.png', '/thumbs/x/x', '/nothing'])(
    '%s is a page that says so',
    async (path) => {
      const { status, text } = await get(path, { accept: 'text/html' });
      expect(status).toBe(404);
      expect(text).toContain('role="alert"');
    },
  );
});

describe('a storage node that is killed while somebody looks', () => {
  test('takes no picture along, and a thumbnail that it alone had is made anew', async () => {
    for (const name of ['azure.png', nasty, 'noise.webm']) {
      const key = `up/${await idOf(name)}/${name}`;
      await until('its second copy', async () => (await client.info(key)).devcount === 2);
    }
    await page.goto(url);
    const [path = ''] = await client.paths(await thumbnailOf(nasty), { count: 1 });
    const { origin, hostname } = new URL(path);
    const pid = new RegExp(`${origin.replaceAll('.', '\\.')} +process (\\d+)`).exec(said)?.[1];
    process.kill(Number(pid), 'SIGKILL');
    // The page that is open goes on.
    await listed(nasty).click();
    expect(await loaded('img.whole', 1)).toEqual([picture.width]);
    // And a browser that remembers nothing finds everything.
    page = await (await browser.newContext()).newPage();
    await page.goto(url);
    expect(await loaded('.gallery img', 2)).toEqual([320, 320]);
    for (const name of ['azure.png', nasty]) {
      await open(name);
      expect(await loaded('img.whole', 1)).toEqual([picture.width]);
    }
    await until('the thumbnail elsewhere', async () => {
      const [now = ''] = await client.paths(await thumbnailOf(nasty), { count: 1 });
      return new URL(now).hostname !== hostname;
    });
  });
});

test('Ctrl-C stops everything', async () => {
  const pids = Array.from(said.matchAll(/process (\d+)/g), ([, pid]) => Number(pid));
  expect(pids.length).toBe(3);
  await interrupt();
  expect(said).toContain('Stopping.');
  await expect(request(url)).rejects.toThrow('ECONNREFUSED');
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});
