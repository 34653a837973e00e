/**
 * A small site on omgfs: it stores what is uploaded, and answers a download with the headers that
 * make nginx fetch the file from a storage node. It never touches the bytes of a download.
 */
import { readFileSync } from 'node:fs';
import multipart from '@fastify/multipart';
import { type Client, createClient, sendReproxy } from '@omgfs/client';
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { Gallery, type Item, isId, keyOf } from './gallery.ts';
import { kindOf } from './kinds.ts';
import { errorPage, galleryPage, viewPage } from './pages.ts';
import { Thumbnails } from './thumbnails/thumbnails.ts';
import { addUploadRoute, Refusal, type UploadLimits } from './upload-route.ts';

export interface ServerOptions extends UploadLimits {
  trackers: readonly string[];
  domain: string;
}

type ById = { Params: { id: string } };
type ByName = { Params: { id: string; name: string } };

const pageSize = 24;
const formBytesMax = 16 * 1024;

/** Pages take everything from this site only. */
const pagePolicy =
  "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'self'; " +
  "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
  "frame-ancestors 'none'";
/** A file that somebody stored runs nothing, whatever is in it; nginx passes this on. */
const filePolicy = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'";

const assets = ['style.css', 'upload.js', 'no-thumbnail.svg'] as const;
const assetTypes = { css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };

export function createServer(options: ServerOptions): FastifyInstance {
  const { trackers, domain, fileBytesMax } = options;
  const client = createClient({ trackers, domain });
  const gallery = new Gallery(client);
  const thumbnails = new Thumbnails(client);
  const server = Fastify({ routerOptions: { maxParamLength: 1000 } });
  server.addHook('onClose', async () => {
    await thumbnails.close();
    await client.close();
  });
  server.register(multipart);
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: formBytesMax },
    (_request, body, done) => done(null, new URLSearchParams(String(body))),
  );
  guard(server);
  for (const name of assets) addAsset(server, name);
  server.after(() => addUploadRoute(server, gallery, { fileBytesMax }));

  addPages(server, gallery, { fileBytesMax });
  addDownloads(server, client, thumbnails);
  return server;
}

function addPages(server: FastifyInstance, gallery: Gallery, { fileBytesMax }: UploadLimits): void {
  server.get<{ Querystring: { after?: string } }>('/', async ({ query }, reply) => {
    const page = await gallery.page(pageSize, query.after);
    return reply.type('text/html').send(galleryPage(page, { fileBytesMax }));
  });

  const find = async ({ params }: FastifyRequest<ById>): Promise<Item> => {
    const item = await gallery.find(params.id);
    if (item === undefined) throw new Refusal(404, 'This file is not here, or no longer.');
    return item;
  };

  server.get<ById>('/view/:id', async (request, reply) => {
    return reply.type('text/html').send(viewPage(await find(request)));
  });

  server.post<ById & { Body: unknown }>('/view/:id/rename', async (request, reply) => {
    const name = request.body instanceof URLSearchParams ? request.body.get('name') : null;
    if (!name?.trim()) throw new Refusal(400, 'Give the file a name.');
    const { id } = await gallery.rename(await find(request), name);
    return reply.redirect(`/view/${id}`, 303);
  });

  server.post<ById>('/view/:id/delete', async (request, reply) => {
    await gallery.delete(await find(request));
    return reply.redirect('/', 303);
  });
}

/** Headers only; nginx fetches the bytes. */
function addDownloads(server: FastifyInstance, client: Client, thumbnails: Thumbnails): void {
  server.get<ByName>('/files/:id/:name', async ({ params }, reply) => {
    const paths = await client.paths(keyOf(known(params)), { count: 3 });
    const { kind, contentType } = kindOf(params.name);
    reply.header('Content-Security-Policy', filePolicy);
    return sendReproxy(reply, paths, {
      shape: 'nginx',
      contentType,
      disposition: kind === 'other' ? 'attachment' : 'inline',
      filename: params.name,
      // Asked for again each time, because it may be deleted; mostly the answer is 304.
      cacheControl: 'private, no-cache',
    });
  });

  server.get<ByName>('/thumbs/:id/:name', async ({ params }, reply) => {
    const found = await thumbnails.find(known(params));
    reply.header('Content-Security-Policy', filePolicy);
    if (found === undefined) {
      return reply.header('Cache-Control', 'no-store').redirect('/assets/no-thumbnail.svg', 302);
    }
    const cacheControl = 'private, max-age=3600';
    if (found.paths !== undefined) {
      return sendReproxy(reply, found.paths, {
        ...{ shape: 'nginx', contentType: 'image/jpeg', cacheControl },
      });
    }
    return reply.type('image/jpeg').header('Cache-Control', cacheControl).send(found.made);
  });
}

function known(item: Item): Item {
  if (isId(item.id)) return item;
  throw new Refusal(404, 'This file is not here, or no longer.');
}

function addAsset(server: FastifyInstance, name: (typeof assets)[number]): void {
  const body = readFileSync(new URL(`../public/${name}`, import.meta.url));
  const type = assetTypes[name.split('.')[1] as keyof typeof assetTypes];
  server.get(`/assets/${name}`, (_request, reply) => reply.type(type).send(body));
}

/** Headers that guard browsers, changes only from the site's own pages, and errors in words. */
function guard(server: FastifyInstance): void {
  server.addHook('onRequest', async ({ method, headers, hostname }, reply) => {
    reply.header('X-Content-Type-Options', 'nosniff');
    reply.header('Content-Security-Policy', pagePolicy);
    reply.header('Referrer-Policy', 'same-origin');
    const { origin } = headers;
    if (method === 'GET' || method === 'HEAD' || origin === undefined) return;
    // Another site's form would otherwise act with the rights of whoever looks at it.
    if (URL.canParse(origin) && new URL(origin).hostname === hostname) return;
    throw new Refusal(403, 'This request came from another site.');
  });
  server.setNotFoundHandler(() => {
    throw new Refusal(404, 'There is no such page.');
  });
  // OmgfsError carries the status that fits, for example 404 for an unknown key.
  server.setErrorHandler<Error & { status?: number; statusCode?: number }>(
    (error, { headers }, reply) => {
      const status = error.status ?? error.statusCode ?? 500;
      const message = wordsOf(error, status);
      reply.code(status);
      if (headers.accept?.includes('text/html')) {
        return reply.type('text/html').send(errorPage(message));
      }
      return reply.send({ error: message });
    },
  );
}

/** What the store says of its machines is for the log, not for visitors. */
function wordsOf(error: Error, status: number): string {
  if (error instanceof Refusal) return error.message;
  if (status === 404) return 'This file is not here, or no longer.';
  if (status === 507) return 'The store is full. Delete something, or ask its operator.';
  if (status === 503) return 'The store cannot be reached at the moment. Try again in a minute.';
  return status < 500 ? error.message : 'Something went wrong. Try again in a minute.';
}
