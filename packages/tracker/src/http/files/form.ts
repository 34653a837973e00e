/**
 * POST of a form (`multipart/form-data`), as a browser sends it: every file in it is stored as it
 * comes in, one after the other.
 */
import type { MultipartFile, MultipartValue } from '@fastify/multipart';
import { fromByteString, limits, OmgfsError, toByteString } from '@omgfs/protocol';
import type { FastifyRequest } from 'fastify';
import type { FilePlace } from '../../files/file-facts.ts';
import type { PutOptions, StoredFile } from '../../files/file-store.ts';
import type { UploadContext } from './upload.ts';

/** Bounds of what is kept in memory of a form; files are streamed. */
export const formLimits = {
  fieldNameSize: 100,
  fieldSize: limits.metadataBytesMax,
  fields: 100,
  files: 1000,
  parts: 1100,
  headerPairs: 50,
  fileSize: Number.POSITIVE_INFINITY,
};

export type FormFile = StoredFile & { key: string };

/**
 * Stores the files of a form below the key of the address, under their names; a field `key` before
 * a file names the whole key of that file. Fields `class`, `replicas` and `x-meta-…` hold for the
 * files that follow.
 * @throws BAD_REQUEST for what is no form, or one without a file; as `FileStore.put`. Files before
 * the one that failed are stored.
 */
export async function storeForm(
  { files, bytesMax }: UploadContext,
  { request, place }: { request: FastifyRequest; place: FilePlace },
): Promise<FormFile[]> {
  if (!request.isMultipart()) {
    const message = 'A POST brings a form, multipart/form-data; PUT stores a body as it is.';
    throw new OmgfsError('BAD_REQUEST', { message });
  }
  const stored: FormFile[] = [];
  const form = new Form(place);
  for await (const part of readable(request.parts({ limits: formLimits }))) {
    if (part.type === 'field') {
      form.take(part);
      continue;
    }
    // Who stops reading gets the error of the request instead.
    part.file.on('error', () => {});
    if (part.filename === undefined || part.filename === '') {
      // A browser sends an empty file for an input that nobody filled in.
      part.file.resume();
      continue;
    }
    const { key, options } = form.fileOf(part);
    const body = readable(part.file);
    const file = await files
      .put({ ...place, key }, body, { ...options, bytesMax })
      .catch((error: unknown) => {
        throw ofFile(error, { name: part.filename, before: stored.length });
      });
    stored.push({ key: fromByteString(key), ...file });
  }
  if (stored.length > 0) return stored;
  throw new OmgfsError('BAD_REQUEST', { message: 'The form holds no file.' });
}

/** The error of one of several files: which, and what of the form is stored all the same. */
function ofFile(error: unknown, { name, before }: { name: string; before: number }): unknown {
  if (!(error instanceof OmgfsError)) return error;
  const { code, message, details } = error;
  const rest = before === 0 ? '' : ` Files of the form before it are stored: ${before}.`;
  const text = `The file '${name}' of the form: ${message}${rest}`;
  return new OmgfsError(code, { message: text, details, cause: error });
}

/** The parser throws plain errors for what is no form, or one that was cut. */
async function* readable<T>(parts: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* parts;
  } catch (error) {
    if (error instanceof Error && 'statusCode' in error) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OmgfsError('BAD_REQUEST', { message: `The form cannot be read: ${reason}.` });
  }
}

/** What the fields so far say of the next file. */
class Form {
  readonly #place: FilePlace;
  readonly #metadata: Record<string, string> = {};
  #key: string | undefined;
  #class: string | undefined;
  #replicas: number | undefined;

  constructor(place: FilePlace) {
    this.#place = place;
  }

  take({ fieldname, value, valueTruncated }: MultipartValue): void {
    if (valueTruncated) {
      throw new OmgfsError('BAD_REQUEST', { message: `The field ${fieldname} is too long.` });
    }
    const text = String(value);
    const metadata = /^x-meta-(.+)$/i.exec(fieldname)?.[1];
    if (metadata !== undefined) this.#metadata[metadata.toLowerCase()] = text;
    else if (fieldname === 'key') this.#key = toByteString(text);
    else if (fieldname === 'class') this.#class = toByteString(text);
    else if (fieldname === 'replicas') this.#replicas = replicasOf(text);
  }

  fileOf({ filename, mimetype }: MultipartFile): { key: string; options: PutOptions } {
    const key = this.#key ?? this.#place.key + toByteString(filename);
    this.#key = undefined;
    const options = {
      contentType: mimetype,
      filename,
      class: this.#class,
      replicas: this.#replicas,
      metadata: { ...this.#metadata },
    };
    return { key, options };
  }
}

function replicasOf(text: string): number {
  if (/^[1-3]$/.test(text)) return Number(text);
  throw new OmgfsError('BAD_REQUEST', { message: `replicas is 1 to 3, not '${text}'.` });
}
