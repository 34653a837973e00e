/**
 * What a client is told when a request fails: `{"error":{"code","message","retry"}}` from whichever
 * part refuses it, with the names that the request had and what to do next.
 */
import { errorTable, limits, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import type { FastifyError, FastifyRequest } from 'fastify';

export interface Refusal {
  status: number;
  body: { error: { code: string; message: string; retry: string; tried?: unknown } };
}

/**
 * The inner trouble of the tracker goes to the log only, and what names storage nodes to those
 * `inside`, too.
 */
export function refusalOf(
  thrown: FastifyError,
  { request, inside = false }: { request: FastifyRequest; inside?: boolean },
): Refusal {
  const error = ofFramework(thrown, request) ?? thrown;
  if (!(error instanceof OmgfsError) && (error.statusCode ?? 500) < 500) {
    const { message, statusCode: status = 400 } = error;
    return refusal(new OmgfsError('BAD_REQUEST', { message }), { status });
  }
  const known = toOmgfsError(error);
  const standard = errorTable[known.code].message;
  const told = error instanceof OmgfsError ? known.message : standard;
  const message = told === standard ? (named(known.code, request) ?? told) : told;
  return refusal(known, { message, tried: inside ? known.details.tried : undefined });
}

/** Of one that was made outside of any request. */
export function refusal(
  error: OmgfsError,
  { status = error.status, message = error.message, tried }: Partial<RefusalParts> = {},
): Refusal {
  return { status, body: { error: { code: error.code, message, retry: error.retry, tried } } };
}

interface RefusalParts {
  status: number;
  message: string;
  tried: unknown;
}

/** What fastify itself refuses, in our words where its own do not help. */
function ofFramework({ code }: FastifyError, request: FastifyRequest): OmgfsError | undefined {
  const { method, originalUrl, headers } = request;
  const asked = `${method} ${shortened(originalUrl)}`;
  switch (code) {
    case 'FST_ERR_BAD_URL': {
      const advice = 'write % as %25, and other bytes than ASCII as UTF-8 with a % each';
      const message = `${asked}: the address holds a malformed percent escape; ${advice}.`;
      return new OmgfsError('BAD_REQUEST', { message });
    }
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return new OmgfsError('BAD_REQUEST', { message: `The body of ${asked} is not valid JSON.` });
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new OmgfsError('BODY_TOO_LARGE', {
        message: `The body of ${asked} is longer than that of any command.`,
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE': {
      const given = shortened(headers['content-type'] ?? '');
      const message =
        given === '' || mediaType.test(given)
          ? `The body of ${asked} is JSON: send Content-Type: application/json.`
          : `Content-Type is like image/jpeg, or left out, not '${given}'.`;
      return new OmgfsError('UNSUPPORTED_TYPE', { message });
    }
    default:
      return undefined;
  }
}

const mediaType = /^[\w.+-]+\/[\w.+-]+ *(?:;|$)/;
const shownCharsMax = 300;

function shortened(text: string): string {
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}…`;
}

/** The standard words with what the request named; undefined when it named nothing of the kind. */
function named(code: string, { params, query }: FastifyRequest): string | undefined {
  const given = (params ?? {}) as Record<string, string | undefined>;
  const { domain, '*': key, class: ofPath, id: upload } = given;
  if (!domain) return undefined;
  const { class: className = ofPath } = (query ?? {}) as Record<string, string | undefined>;
  switch (code) {
    case 'UNREG_DOMAIN': {
      const advice = `name another, or create it with 'omgfs admin domain add ${domain}'`;
      return `There is no domain '${domain}': ${advice}.`;
    }
    case 'UNREG_CLASS': {
      // In a form or in metadata it is not to be seen from here.
      if (!className) return `The domain '${domain}' has no class of that name.`;
      const advice = `'omgfs admin class add ${domain} ${className}'`;
      const what = `The domain '${domain}' has no class '${className}'`;
      return `${what}: name another, or create it with ${advice}.`;
    }
    case 'UNKNOWN_KEY':
      return key && `The domain '${domain}' has no file under the key '${key}'.`;
    case 'KEY_TOO_LONG': {
      const bytes = Buffer.byteLength(key ?? '');
      // In a form, that of a file in it.
      if (!key || bytes <= limits.keyBytesMax) return undefined;
      const most = `A key has at most ${limits.keyBytesMax} bytes`;
      return `${most}, this one has ${bytes}: ${shortened(key)}`;
    }
    case 'PRECONDITION_FAILED': {
      if (!key) return undefined;
      const what = `'${key}' of '${domain}' does not stand for what the conditions name`;
      return `${what}. Look what is there with HEAD, and try again with its ETag.`;
    }
    case 'NO_DEVICES':
      return (
        `No device can take a file of '${domain}' now: all are full, down or not yet seen by ` +
        "this tracker. Ask again in a moment; 'omgfs admin explain dev1' says why not."
      );
    case 'NO_TEMP_FILE': {
      if (!upload) return undefined;
      const what = `There is no upload ${shortened(upload)}: it was given up, or has expired`;
      return `${what}. Begin another with POST /tus/${domain}.`;
    }
    default:
      return undefined;
  }
}
