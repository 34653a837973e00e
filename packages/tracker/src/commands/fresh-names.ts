/**
 * What was made on another tracker a moment ago is not known here yet. A command that meets a name
 * nobody knows has the database read once more and is tried again; not more often than once a
 * second, so that names that do not exist cost the database nothing.
 */
import { OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Command, CommandRequest } from './command.ts';

const everyMs = 1_000;

/** Said before a command has done anything. */
const unknownNames: ReadonlySet<string> = new Set([
  'UNREG_DOMAIN',
  'UNREG_CLASS',
  'DOMAIN_NOT_FOUND',
  'CLASS_NOT_FOUND',
  'HOST_NOT_FOUND',
  'UNKNOWN_HOST',
  'UNKNOWN_HOSTID',
  'NO_DEVICE',
]);

export class FreshNames {
  readonly #reload: () => Promise<void>;
  #reloading: Promise<boolean> | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;

  /** @param reload reads domains, classes, hosts and devices again. */
  constructor(reload: () => Promise<void>) {
    this.#reload = reload;
  }

  /** The same command, tried again when it met an unknown name and the names are read anew. */
  wrap(command: Command): Command {
    return (request) => {
      try {
        const outcome = command(request);
        if (!(outcome instanceof Promise)) return outcome;
        return outcome.catch((error: unknown) => this.#again(command, request, error));
      } catch (error) {
        return this.#again(command, request, error);
      }
    };
  }

  async #again(command: Command, request: CommandRequest, error: unknown): Promise<ReplyFields> {
    const isUnknown = error instanceof OmgfsError && unknownNames.has(error.code);
    if (isUnknown && (await this.#renewed())) return command(request);
    throw error;
  }

  /** Whether the names were read again just now. */
  #renewed(): Promise<boolean> {
    if (this.#reloading !== undefined) return this.#reloading;
    if (performance.now() - this.#startedMs < everyMs) return Promise.resolve(false);
    this.#startedMs = performance.now();
    this.#reloading = this.#reload()
      .then(
        () => true,
        // The refusal stands: the database cannot be asked now.
        () => false,
      )
      .finally(() => {
        this.#reloading = undefined;
      });
    return this.#reloading;
  }
}
