/** Which methods an address takes, for those that it is asked by another one. */
import { OmgfsError } from '@omgfs/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export class Offers {
  readonly #methods = new Map<string, { address: RegExp; methods: Set<string> }>();

  /** To be made before any route is added. */
  constructor(app: FastifyInstance) {
    app.addHook('onRoute', ({ url, method }) => {
      const known = this.#methods.get(url) ?? { address: patternOf(url), methods: new Set() };
      this.#methods.set(url, known);
      for (const one of [method].flat()) known.methods.add(one);
    });
  }

  /** @throws METHOD_NOT_ALLOWED with what is offered (RFC 9110 section 15.5.6); NO_ROUTE. */
  refuse(request: FastifyRequest, reply: FastifyReply): never {
    const { method, originalUrl } = request;
    const [path = ''] = request.url.split('?');
    const offered = [...this.#methods.values()]
      .filter(({ address }) => address.test(path))
      .flatMap(({ methods }) => [...methods]);
    if (offered.length === 0) {
      const message = `There is no ${method} ${originalUrl}; see /openapi.json.`;
      throw new OmgfsError('NO_ROUTE', { message });
    }
    const list = [...new Set(offered)].join(', ');
    reply.header('allow', list);
    const message = `${method} is not offered for ${originalUrl}, but ${list}.`;
    throw new OmgfsError('METHOD_NOT_ALLOWED', { message });
  }
}

/** As the router reads it: `:name` is a part of the path, `*` all that follows. */
function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/:\w+/g, '[^/]+').replace(/\*/g, '.*')}$`);
}
