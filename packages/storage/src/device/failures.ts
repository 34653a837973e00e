/** What an error of the system means for the client of a storage node. */
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { errnoOf } from './files.ts';

/** Nobody gets an answer about files from this device. */
export function refusal(devid: number, reason: string): OmgfsError {
  const message = `dev${devid} is not served: ${reason}.`;
  return new OmgfsError('DEVICE_REFUSED', { message, details: { devid } });
}

/** Any thrown value as an error with the status to answer with. */
export function toHttpError(thrown: unknown): OmgfsError {
  if (thrown instanceof OmgfsError) return thrown;
  const code = codeOf(errnoOf(thrown));
  if (code === undefined) return toOmgfsError(thrown);
  return new OmgfsError(code, { message: String(thrown), cause: thrown });
}

function codeOf(errno: string) {
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'DEVICE_FULL';
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ENOTEMPTY':
    case 'EEXIST':
      return 'PATH_CONFLICT';
    case 'ELOOP':
      return 'PATH_FORBIDDEN';
    case 'ENAMETOOLONG':
      return 'INVALID_PATH';
    case 'EROFS':
    case 'EIO':
    case 'EACCES':
    case 'EPERM':
    case 'EMFILE':
    case 'ENFILE':
      return 'DEVICE_REFUSED';
    default:
      return undefined;
  }
}
