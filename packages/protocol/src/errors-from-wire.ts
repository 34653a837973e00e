/** The way back from `ERR` lines to errors, for clients. */
import { type ErrorCode, type ErrorFacts, errorTable, OmgfsError } from './errors.ts';

const codeByWire = new Map<string, ErrorCode>();
for (const code of Object.keys(errorTable) as ErrorCode[]) {
  const wire = errorTable[code].wire;
  if (wire !== 'failure' && !codeByWire.has(wire)) codeByWire.set(wire, code);
}

/** The error a client raises for an `ERR` line; words it does not know become FAILURE. */
export function errorFromWire(reply: { code: string; text: string }): OmgfsError {
  const known = codeByWire.get(reply.code) ?? 'FAILURE';
  // The original says `db` for trouble with its database as well.
  const otherTrouble = known === 'KEY_TOO_LONG' && reply.text !== errorTable.KEY_TOO_LONG.text;
  const code = otherTrouble ? 'FAILURE' : known;
  const { message, text }: ErrorFacts = errorTable[code];
  const words = ['', reply.code].includes(reply.text) ? '' : `: ${reply.text}`;
  // What the tracker always says for it tells nothing more.
  const isUsual = code !== 'FAILURE' && (words === '' || reply.text === text);
  return new OmgfsError(code, {
    message: isUsual ? message : `${message} (tracker said ${reply.code}${words})`,
    wireText: reply.text,
    details: { wire: reply.code },
  });
}
