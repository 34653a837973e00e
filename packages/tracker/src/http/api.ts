/**
 * Between JSON and commands: every route runs a command of the tracker, so that HTTP, the line
 * protocol and their checks can never differ. Texts are UTF-8 here and byte strings there.
 */
import { type Fields, fromByteString, toByteString } from '@omgfs/protocol';
import type { FastifyRequest } from 'fastify';
import type { CallCommand } from '../commands/command.ts';

export type JsonScalar = string | number | boolean | null;
export type JsonFields = Record<string, JsonScalar>;

/** Arguments as a person writes them; what is undefined is not sent. */
export type Arguments = Record<string, JsonScalar | undefined>;

/** One HTTP request's way to the commands. */
export class Api {
  readonly #call: CallCommand;
  readonly #address: string;

  constructor(call: CallCommand, address: string) {
    this.#call = call;
    this.#address = address;
  }

  async call(command: string, args: Arguments = {}): Promise<JsonFields> {
    const fields: Fields = {};
    for (const [name, value] of Object.entries(args)) {
      if (value !== undefined && value !== null) fields[toByteString(name)] = textOf(value);
    }
    const reply = await this.#call({ command, args: fields, address: this.#address });
    const out: JsonFields = {};
    for (const [name, value] of Object.entries(reply)) {
      out[fromByteString(name)] =
        typeof value === 'string' ? fromByteString(value) : (value ?? null);
    }
    return out;
  }
}

function textOf(value: Exclude<JsonScalar, null>): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  return toByteString(String(value));
}

type Schema = Record<string, unknown>;

/** A route as the documentation and the server need it. */
export interface ApiRoute {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  tag: string;
  summary: string;
  description?: string;
  query?: Record<string, Schema>;
  /** `open` takes fields that are not listed. */
  body?: { fields: Record<string, Schema>; required?: readonly string[]; open?: true };
  /** Status of a success; 204 when nothing is answered, else 200. */
  status?: number;
  run: (api: Api, input: Input) => Promise<unknown>;
}

/** What a request brought, checked against the schemas. */
export class Input {
  readonly #parts: Record<'params' | 'query' | 'body', Arguments>;

  constructor(request: FastifyRequest) {
    const { params, query, body } = request as { params: unknown; query: unknown; body: unknown };
    const fieldsOf = (part: unknown) => (part ?? {}) as Arguments;
    this.#parts = { params: fieldsOf(params), query: fieldsOf(query), body: fieldsOf(body) };
  }

  /** A part of the path. */
  param(name: string): string {
    return String(this.#parts.params[name] ?? '');
  }

  get query(): Arguments {
    return this.#parts.query;
  }

  get body(): Arguments {
    return this.#parts.body;
  }
}

export const text = (description: string): Schema => ({ type: 'string', description });
/** Beyond what a number of JavaScript holds exactly it would become another one. */
export const count = (description: string): Schema => ({
  type: 'integer',
  description,
  minimum: Number.MIN_SAFE_INTEGER,
  maximum: Number.MAX_SAFE_INTEGER,
});
/** What an argument of a command can be; a list or an object is none. */
export const scalar: Schema = { type: ['string', 'number', 'boolean', 'null'] };
export const flag = (description: string): Schema => ({ type: 'boolean', description });
