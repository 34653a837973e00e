/** Opening what must be a file itself, in directories that may come from anywhere. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { OmgfsError } from '@omgfs/protocol';

/**
 * Opens a file, for reading unless `flags` say more. Directories on the way are followed.
 * @param name for messages. @throws BAD_ARGS for a symbolic link or what is no file; the errors of
 * the system for the rest, ENOENT among them.
 */
export async function openRegular(
  path: string,
  { name = path, flags = constants.O_RDONLY }: { name?: string; flags?: number } = {},
): Promise<FileHandle> {
  // Not blocking: opening a pipe would wait for whoever has its other end.
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      if (['ELOOP', 'EISDIR', 'ENXIO'].includes(error.code ?? '')) throw notAFile(name);
      throw error;
    },
  );
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw notAFile(name);
}

export function notAFile(name: string): OmgfsError {
  const message = `${name} is a symbolic link or no file, and is not followed`;
  return new OmgfsError('BAD_ARGS', { message });
}
