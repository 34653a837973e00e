import { OmgfsError } from '@omgfs/protocol';
import { expect, onTestFinished, test, vi } from 'vitest';
import { about, formatBytes, printable, printError } from '../src/output.ts';

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1536 * 1024, '1.5 MiB'],
  [5 * 1024 ** 4, '5.0 TiB'],
  [5000 * 1024 ** 4, '5000.0 TiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('a key cannot steer the terminal that shows it', () => {
  expect(printable('a\u001b[2Jb\n')).toBe('a\\x1b[2Jb\\x0a');
  expect(printable('Grüße/写真.jpg')).toBe('Grüße/写真.jpg');
});

test('an error names what failed, keeps its code and tells scripts the key', async () => {
  const cause = new OmgfsError('UNKNOWN_KEY', { details: { wire: 'unknown_key' } });
  await expect(about('cannot fetch', 'a\tb', Promise.reject(cause))).rejects.toMatchObject({
    code: 'UNKNOWN_KEY',
    message: "cannot fetch 'a\\x09b': No file is stored under the key.",
    details: { wire: 'unknown_key', key: 'a\tb' },
    cause,
  });
  expect(await about('cannot fetch', 'a', Promise.resolve(7))).toBe(7);
});

test('a full disk is said to be one, however deep the error has it', async () => {
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => written.mockRestore());
  const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  const error = await about('cannot export', 'k', Promise.reject(full)).catch((thrown) => thrown);
  printError(error, { json: false });
  expect(written.mock.calls.join('')).toMatch(/'k': no space left \[FAILURE\]\n.* make room/);
});
