/**
 * What a command is: one function that parses, checks, acts and gives the fields of the reply. It
 * throws OmgfsError for every refusal; the dispatcher writes the line.
 */
import type { Fields, ReplyFields } from '@omgfs/protocol';

export interface CommandRequest {
  args: Fields;
  /** IP address of the client, which decides between main and alternate addresses (§4.2). */
  address: string;
}

export type Command = (request: CommandRequest) => ReplyFields | Promise<ReplyFields>;
/** Runs a command as a client of the line protocol would. Rejects with OmgfsError. */
export type CallCommand = (request: CommandRequest & { command: string }) => Promise<ReplyFields>;
export type CommandTable = ReadonlyMap<string, Command>;
