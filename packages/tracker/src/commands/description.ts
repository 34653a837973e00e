/** What whoever stores a file says of it, as arguments and as reply fields of ours. */
import { type Fields, limits, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { DescriptionRow, StoredDescription } from '../store/description-store.ts';

const metadataNamesMax = 64;
const metadataName = /^[a-z0-9_.-]{1,64}$/;

/**
 * The description that a request brings; empty when it says only that it wants one.
 * @throws BAD_PARAMS for more than is kept.
 */
export function descriptionArguments(args: Fields): Omit<DescriptionRow, 'fid'> | undefined {
  const { content_type: contentType, filename, metadata } = args;
  if (args.described === undefined) return undefined;
  checkBytes('content_type', contentType, limits.contentTypeBytesMax);
  checkBytes('filename', filename, limits.filenameBytesMax);
  checkBytes('metadata', metadata, limits.metadataBytesMax);
  if (metadata !== undefined) checkMetadata(metadata);
  return { contentType, filename, metadata };
}

export function descriptionFields(stored: StoredDescription | undefined): ReplyFields {
  return stored === undefined ? {} : { stored_at: stored.utime, ...describedFields(stored) };
}

export function describedFields(said: Omit<DescriptionRow, 'fid'>): ReplyFields {
  const { contentType, filename, metadata } = said;
  return {
    ...(contentType === undefined ? {} : { content_type: contentType }),
    ...(filename === undefined ? {} : { filename }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

function checkBytes(name: string, value: string | undefined, max: number): void {
  if (value === undefined || value.length <= max) return;
  throw new OmgfsError('BAD_PARAMS', { message: `${name} is longer than ${max} bytes.` });
}

/** A flat object of texts. */
function checkMetadata(text: string): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {}
  const entries = parsed instanceof Object ? Object.entries(parsed) : undefined;
  const good = entries?.every(([name, value]) => {
    return metadataName.test(name) && typeof value === 'string';
  });
  if (good && entries !== undefined && entries.length <= metadataNamesMax) return;
  throw new OmgfsError('BAD_PARAMS', {
    message: `metadata is a JSON object of at most ${metadataNamesMax} texts, names a-z 0-9 _ . -`,
  });
}
