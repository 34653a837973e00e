/**
 * Goal: GNU tar reads our archives and we read those of it, of all formats and sizes; what leads
 * out of an archive, or lies, is refused.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileBytes, StreamBytes } from '../src/migrate/tar/bytes.ts';
import { fileHeader } from '../src/migrate/tar/header.ts';
import { type TarFile, TarReader } from '../src/migrate/tar/reader.ts';
import { TarWriter } from '../src/migrate/tar/writer.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-tar-'));
const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
const contents: Record<string, string> = {
  a: 'aaa',
  empty: '',
  'deep/b c': 'x'.repeat(512),
  [long]: 'long',
  'ü/ключ': 'y'.repeat(700),
};

beforeAll(() => {
  for (const [name, body] of Object.entries(contents)) {
    mkdirSync(join(dir, 'in', name, '..'), { recursive: true });
    writeFileSync(join(dir, 'in', name), body);
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(archive: Buffer, chunk = 1000): Promise<Record<string, string>> {
  const reader = new TarReader(new StreamBytes(chunksOf(archive, chunk)), 'x.tar');
  const found: Record<string, string> = {};
  for (let file = await reader.next(); file !== undefined; file = await reader.next()) {
    let body = '';
    for await (const piece of reader.body()) body += piece.toString('latin1');
    expect(body.length).toBe(file.length);
    found[Buffer.from(file.name, 'latin1').toString()] = body;
  }
  return found;
}

const tar = (...args: string[]) =>
  execFileSync('tar', args, { cwd: dir, maxBuffer: 1e8, stdio: ['ignore', 'pipe', 'ignore'] });

describe('GNU tar', () => {
  test('unpacks what we write, and says nothing', async () => {
    const pieces: Buffer[] = [];
    const writer = new TarWriter(async (bytes) => {
      pieces.push(bytes);
    });
    await writer.begin('of all');
    for (const [name, body] of Object.entries(contents)) {
      const bytes = Buffer.from(body);
      const member = { name: Buffer.from(name).toString('latin1'), length: bytes.length };
      await writer.file({ ...member, comment: '{"a":1}' }, chunksOf(bytes, 100));
    }
    await writer.end();
    const archive = Buffer.concat(pieces);
    mkdirSync(join(dir, 'out'));
    const { status, stderr } = spawnSync('tar', ['-xf', '-'], {
      ...{ cwd: join(dir, 'out'), input: archive, encoding: 'utf8' },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    execFileSync('diff', ['-r', join(dir, 'in'), join(dir, 'out')]);
    expect(await readAll(archive)).toEqual(contents);
  });

  test.each(['gnu', 'posix', 'oldgnu'])('writes its format %s for us', async (format) => {
    const archive = tar(`--format=${format}`, '-cf', '-', '-C', 'in', '.');
    for (const chunk of [1, 511, 100_000]) expect(await readAll(archive, chunk)).toEqual(contents);
  });

  test.each(['ustar', 'v7'])('writes its format %s for us, of short names', async (format) => {
    const archive = tar(`--format=${format}`, '-cf', '-', '-C', 'in', 'a', 'empty', 'deep');
    const { a, empty, 'deep/b c': deep } = contents;
    expect(await readAll(archive)).toEqual({ a, empty, 'deep/b c': deep });
  });

  test('and we agree on files above 8 GiB', async () => {
    const length = 9 * 1024 ** 3;
    const file = join(dir, 'big');
    execFileSync('truncate', ['-s', String(length), file]);
    for (const format of ['gnu', 'posix']) {
      const begun = execFileSync('sh', ['-c', `tar --format=${format} -cf - big | head -c 4096`], {
        ...{ cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] },
      });
      const reader = new TarReader(new StreamBytes(chunksOf(begun, 512)), 'x.tar');
      expect(await reader.next()).toMatchObject({ name: 'big', length });
      await expect(reader.next()).rejects.toThrow('x.tar: it is cut off');
    }
    rmSync(file);
    const input = Buffer.concat([fileHeader({ name: 'big', length }), Buffer.alloc(8192)]);
    const { stdout } = spawnSync('tar', ['-tvf', '-'], { input, encoding: 'utf8' });
    expect(stdout).toContain(` ${length} `);
  });
});

describe('refused are', () => {
  const refusal = async (archive: Buffer) => {
    return readAll(archive).then(
      () => 'not refused',
      (error: Error) => error.message,
    );
  };

  test('names that lead out', async () => {
    expect(await refusal(tar('-Pcf', '-', join(dir, 'in/a')))).toMatch(/in\/a' leads out of the/);
    expect(await refusal(tar('-Pcf', '-', 'in/../in/a'))).toContain('leads out of the archive');
    const odd = fileHeader({ name: 'a\0b'.padEnd(120, 'c'), length: 0 });
    expect(await refusal(odd)).toContain('leads out of the archive');
  });

  test('links, pipes and sparse files', async () => {
    mkdirSync(join(dir, 'odd'));
    symlinkSync('/etc/passwd', join(dir, 'odd/link'));
    execFileSync('mkfifo', [join(dir, 'odd/pipe')]);
    execFileSync('ln', [join(dir, 'in/a'), join(dir, 'odd/hard')]);
    execFileSync('truncate', ['-s', '1M', join(dir, 'odd/holes')]);
    expect(await refusal(tar('-cf', '-', 'odd/link'))).toContain("'odd/link' is a symbolic link");
    expect(await refusal(tar('-cf', '-', 'odd/pipe'))).toContain("'odd/pipe' is a pipe");
    expect(await refusal(tar('-cf', '-', 'in/a', 'odd/hard'))).toContain('is a hard link');
    expect(await refusal(tar('-Scf', '-', 'odd/holes'))).toContain("'odd/holes' is a sparse file");
    const posix = tar('--format=posix', '-Scf', '-', 'odd/holes');
    expect(await refusal(posix)).toContain('is a sparse file');
    rmSync(join(dir, 'odd'), { recursive: true });
  });

  test('archives that are cut off, wherever', async () => {
    const archive = tar('-b1', '-cf', '-', '-C', 'in', '.');
    for (let end = 0; end < archive.length - 1024; end += 256) {
      expect(await refusal(archive.subarray(0, end))).toBe('x.tar: it is cut off');
    }
    writeFileSync(join(dir, 'cut.tar'), archive.subarray(0, archive.length - 2048));
    const bytes = readFileSync(join(dir, 'cut.tar'));
    const { open } = await import('node:fs/promises');
    await using file = await open(join(dir, 'cut.tar'));
    const reader = new TarReader(new FileBytes(file, bytes.length), 'cut.tar');
    const all = async () => {
      const names: TarFile[] = [];
      for (let one = await reader.next(); one !== undefined; one = await reader.next()) {
        names.push(one);
      }
    };
    await expect(all()).rejects.toThrow('cut.tar: it is cut off');
  });

  test('sizes that lie and headers that are none', async () => {
    const body = Buffer.alloc(2048, 'z');
    const lie = (length: number) => Buffer.concat([fileHeader({ name: 'n', length }), body]);
    expect(await refusal(lie(100))).toBe('x.tar: there is no tar header at byte 1024');
    expect(await refusal(lie(1e15))).toBe('x.tar: it is cut off');
    const negative = fileHeader({ name: 'n', length: 9 * 1024 ** 3 });
    negative[blockOfSize(negative)] = 0xff;
    expect(await refusal(negative)).toContain('no tar header');
    expect(await refusal(Buffer.from('no archive at all'.padEnd(5000)))).toContain('at byte 0');
    const huge = fileHeader({ name: 'n', length: 0, comment: 'c'.repeat(2_000_000) });
    expect(await refusal(huge)).toContain('a name or pax header is too long');
    const pax = fileHeader({ name: 'n', length: 0, comment: 'c' });
    pax.write('99', 512);
    expect(await refusal(pax)).toContain('a pax header is damaged');
  });
});

/** Where the size field of the last block is. */
function blockOfSize(header: Buffer): number {
  return header.length - 512 + 124;
}
