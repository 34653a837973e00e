/**
 * The upload of a form: one file after the other goes on to omgfs as it arrives, so that the memory
 * that it takes does not depend on its size.
 */
import type { MultipartFile } from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Gallery, Item } from './gallery.ts';
import { sizeText } from './pages.ts';

/** An error whose message is for the one at the browser. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const filesMax = 100;

export interface UploadLimits {
  fileBytesMax: number;
}

export function addUploadRoute(server: FastifyInstance, gallery: Gallery, limits: UploadLimits) {
  const { fileBytesMax } = limits;
  server.post('/upload', async (request, reply) => {
    if (!request.isMultipart()) throw new Refusal(415, 'Send files as multipart/form-data.');
    const stored: (Item & { bytes: number })[] = [];
    // Once the browser is gone, so is what it was sending.
    const gone = new AbortController();
    request.raw.once('close', () => {
      if (!request.raw.complete) gone.abort(new Refusal(400, 'The upload was broken off.'));
    });
    try {
      for await (const part of partsOf(request, fileBytesMax)) {
        // A form without a chosen file sends one that has no name.
        if (part.filename === '') part.file.resume();
        else stored.push(await gallery.add(part.filename, whole(part, limits), gone.signal));
      }
    } catch (thrown) {
      const error = refusalIn(thrown) ?? thrown;
      const names = stored.map(({ name }) => `“${name}”`).join(', ');
      if (names === '' || !(error instanceof Refusal)) throw error;
      throw new Refusal(error.status, `${error.message} Already stored: ${names}.`);
    }
    if (stored.length === 0) throw new Refusal(400, 'Choose at least one file.');
    if (request.headers.accept?.includes('application/json')) return reply.code(201).send(stored);
    return reply.redirect('/', 303);
  });
}

/** What `whole` throws reaches us as the cause of the client's SOURCE_FAILED. */
function refusalIn(thrown: unknown): Refusal | undefined {
  return thrown instanceof Error && thrown.cause instanceof Refusal ? thrown.cause : undefined;
}

function partsOf(request: FastifyRequest, fileSize: number) {
  return request.files({ limits: { fileSize, files: filesMax }, throwFileSizeLimit: false });
}

/** The bytes of a part. @throws Refusal at the end of one that was cut at the limit. */
async function* whole(part: MultipartFile, { fileBytesMax }: UploadLimits) {
  yield* part.file as AsyncIterable<Uint8Array>;
  if (!part.file.truncated) return;
  const limit = sizeText(fileBytesMax);
  throw new Refusal(413, `“${part.filename}” is larger than ${limit}, the limit of this site.`);
}
