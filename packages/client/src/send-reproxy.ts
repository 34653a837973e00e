/**
 * Answers a download with the headers that make the proxy in front fetch the file. Responses are
 * described by what is used of them, so that no framework is a dependency.
 */
import { type ReproxyAnswerOptions, reproxyAnswer } from '@omgfs/protocol';

interface RequestLike {
  headers: { 'if-none-match'?: string | undefined };
}

/** Response of `node:http` or Express. */
export interface NodeResponse {
  req?: RequestLike;
  writeHead(status: number, headers: Record<string, string>): { end(): unknown };
}

/** Reply of Fastify. */
export interface ReplyLike {
  request: RequestLike;
  code(status: number): unknown;
  headers(headers: Record<string, string>): unknown;
  send(): unknown;
}

/**
 * Ends the response; headers that were set on it before are sent, too.
 *
 * @example sendReproxy(response, await client.paths(key, { count: 3 }), { shape: 'nginx' });
 * @returns the response, which a handler of Fastify returns in turn.
 * @throws NO_REPLICA_UP, BAD_ARGS, as `reproxyAnswer`; nothing was sent then.
 */
export function sendReproxy<Response extends NodeResponse | ReplyLike>(
  response: Response,
  paths: readonly string[],
  options: ReproxyAnswerOptions,
): Response {
  const request = 'request' in response ? response.request : response.req;
  const ifNoneMatch = request?.headers['if-none-match'];
  const { status, headers } = reproxyAnswer(paths, { ifNoneMatch, ...options });
  if ('writeHead' in response) {
    response.writeHead(status, headers).end();
  } else {
    response.code(status);
    response.headers(headers);
    response.send();
  }
  return response;
}
