/**
 * The HTTP API: every command of the tracker as JSON over HTTP, an OpenAPI document of it, and what
 * load balancers ask. Routes are tables (`routes/`), so that document and server cannot differ.
 */
import type { AddressInfo } from 'node:net';
import swagger from '@fastify/swagger';
import { expositionType, limits, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { type FastifyError, type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import type { CallCommand } from '../commands/command.ts';
import type { Survey } from '../figures/survey.ts';
import type { Log } from '../log.ts';
import { type AccessRules, checkAccess, checkNetwork, isOperator } from './access.ts';
import { Api, type ApiRoute, Input, scalar } from './api.ts';
import { addDavMethods, isDav, routeOf } from './dav/route.ts';
import type { DavShare } from './dav/share.ts';
import { addFileRoutes, type FilesOptions } from './files/routes.ts';
import { Metrics } from './metrics.ts';
import { Offers } from './offers.ts';
import { boundBodies, lingerAfterRefusals } from './patience.ts';
import { refusalOf } from './refusals.ts';
import { fileRoutes } from './routes/files.ts';
import { machineRoutes } from './routes/machines.ts';
import { namespaceRoutes } from './routes/namespace.ts';
import { operationRoutes } from './routes/operations.ts';
import { Turns } from './turns.ts';
import { addTusRoutes } from './tus/routes.ts';

export interface HttpServerOptions {
  call: CallCommand;
  /** Why requests cannot be served now, in words; undefined when they can. */
  readiness: () => Promise<string | undefined>;
  /** Figures of all processes of the tracker. */
  survey: () => Promise<Survey>;
  access: AccessRules;
  files: FilesOptions;
  /** Undefined when it is off. */
  dav: DavShare | undefined;
  /** Clients at once; further ones are closed. */
  connectionsMax: number;
  log: Log;
}

/** Version of the addresses, which is in their path as well. */
const protocolVersion = '1';
const bodyBytesMax = 1024 * 1024;
/** A key of 255 bytes, every byte escaped. */
const paramLengthMax = 3 * 255;
const drainPollMs = 50;
const readMethods: readonly string[] = ['GET', 'HEAD', 'OPTIONS', 'PROPFIND'];
const routes = [...namespaceRoutes, ...machineRoutes, ...fileRoutes, ...operationRoutes];

export class HttpServer {
  readonly #app: FastifyInstance;

  constructor(options: HttpServerOptions) {
    this.#app = createApp(options);
  }

  /** @returns the address with its real port. */
  async listen(address: { host: string; port: number }): Promise<{ host: string; port: number }> {
    await this.#app.listen(address);
    return { host: address.host, port: (this.#app.server.address() as AddressInfo).port };
  }

  /** Answers what is in flight for at most `graceMs`, and ends. */
  async close({ graceMs }: { graceMs: number }): Promise<void> {
    const { server } = this.#app;
    // A connection that becomes idle later would be kept open, and one that never sends the rest of
    // its request would hold up the stop for as long as it likes.
    const idle = setInterval(() => server.closeIdleConnections(), drainPollMs);
    const deadline = setTimeout(() => server.closeAllConnections(), graceMs);
    try {
      await this.#app.close();
    } finally {
      clearInterval(idle);
      clearTimeout(deadline);
    }
  }
}

function createApp(options: HttpServerOptions): FastifyInstance {
  const turns = new Turns();
  const app = fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    // Of a connection that nothing moves on. How long a request may take depends on its body, see
    // patience.ts.
    connectionTimeout: limits.clientStallMs,
    requestTimeout: 0,
    forceCloseConnections: 'idle',
    // Refused below, in words.
    http: { requireHostHeader: false },
    clientErrorHandler: turns.end,
    rewriteUrl: ({ method, url = '' }) => (options.dav ? routeOf(method, url) : url),
    routerOptions: { maxParamLength: paramLengthMax },
    // What the router itself refuses: an address it cannot decode, or with too long a part.
    frameworkErrors: (error, request, reply: FastifyReply) => {
      const { status, body } = refusalOf(error, { request });
      reply.code(status).send(body);
    },
    // The default takes a list of one for the one.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, allowUnionTypes: true } },
  });
  app.removeContentTypeParser('text/plain');
  addDavMethods(app);
  app.server.maxConnections = options.connectionsMax;
  turns.watch(app);
  const offers = new Offers(app);
  lingerAfterRefusals(app, { bodyBytesMax: options.files.uploadBytesMax });
  app.setErrorHandler((thrown: FastifyError, request, reply) => {
    const { authorization } = request.headers;
    const inside = isOperator(options.access, { authorization, basic: isDav(request) });
    const { status, body } = refusalOf(thrown, { request, inside });
    if (status >= 500) {
      const facts = { method: request.method, url: request.url, err: thrown };
      options.log.error(facts, 'http.failed');
    }
    if (status === 401)
      reply.header('www-authenticate', isDav(request) ? 'Basic realm="omgfs"' : 'Bearer');
    const { length } = toOmgfsError(thrown).details;
    if (status === 416) reply.header('content-range', `bytes */${length}`);
    return reply.code(status).send(body);
  });
  app.setNotFoundHandler((request, reply) => offers.refuse(request, reply));
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'omgfs tracker',
        version: protocolVersion,
        description:
          'Everything the line protocol can do. Errors are ' +
          '`{"error":{"code","message","retry"}}`, with the codes of docs/reference/errors.md.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
  });
  app.register(async (scope) => {
    addHealth(scope, options);
    await scope.register(async (guarded) => {
      guardAccess(guarded, options.access);
      await guarded.register(async (inner) => addRoutes(inner, options));
      await guarded.register((inner) => addFileRoutes(inner, options.files));
      await guarded.register(async (inner) => options.dav?.addTo(inner));
      await guarded.register((inner) => addTusRoutes(inner, options.files));
    });
  });
  return app;
}

/** For load balancers: no token, only the network is checked. */
function addHealth(app: FastifyInstance, { access, readiness }: HttpServerOptions): void {
  const schema = { tags: ['health'] };
  app.get('/healthz', { schema: { ...schema, summary: 'The process runs' } }, (request) => {
    checkNetwork(access, request.ip);
    return { status: 'ok' };
  });
  const summary = 'Requests can be served: the database answers and devices were looked at';
  app.get('/readyz', { schema: { ...schema, summary } }, async (request, reply) => {
    checkNetwork(access, request.ip);
    const reason = await readiness();
    if (reason === undefined) return { status: 'ready' };
    return reply.code(503).send({ status: 'not ready', reason });
  });
}

function guardAccess(app: FastifyInstance, access: AccessRules): void {
  app.addHook('onRequest', async (request) => {
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      throw new OmgfsError('BAD_REQUEST', { message: 'A request of HTTP/1.1 names its Host.' });
    }
    checkAccess(access, {
      address: request.ip,
      readOnly: readMethods.includes(request.method),
      basic: isDav(request),
      authorization: request.headers.authorization,
      origin: request.headers.origin,
      host: request.headers.host,
    });
  });
}

function addRoutes(app: FastifyInstance, { call, survey }: HttpServerOptions): void {
  boundBodies(app);
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  const metrics = new Metrics();
  const summary = 'Figures of tracker and cluster, in the text format of Prometheus';
  app.get('/metrics', { schema: { tags: ['health'], summary } }, async (request, reply) => {
    const text = await metrics.text(new Api(call, request.ip), survey);
    return reply.type(expositionType).send(text);
  });
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.url,
      schema: schemaOf(route),
      handler: async (request, reply) => {
        const api = new Api(call, request.ip);
        const answer = await route.run(api, new Input(request));
        const status = route.status ?? 200;
        return status === 204 ? reply.code(204).send() : reply.code(status).send(answer);
      },
    });
  }
}

function schemaOf(route: ApiRoute): Record<string, unknown> {
  const names = [...route.url.matchAll(/:(\w+)/g)].map((match) => match[1] ?? '');
  const object = (properties: object) => ({ type: 'object', properties });
  const { body, query } = route;
  return {
    tags: [route.tag],
    summary: route.summary,
    security: [{ token: [] }],
    ...(names.length === 0
      ? {}
      : { params: object(Object.fromEntries(names.map((name) => [name, { type: 'string' }]))) }),
    ...(query === undefined
      ? {}
      : { querystring: { ...object(query), additionalProperties: false } }),
    ...(body === undefined
      ? {}
      : {
          body: {
            ...object(body.fields),
            additionalProperties: body.open === true ? scalar : false,
            required: body.required ?? [],
          },
        }),
  };
}
