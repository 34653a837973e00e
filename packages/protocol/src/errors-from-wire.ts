/** The way back from `ERR` lines to errors, for clients. */
import { type ErrorCode, errorTable, OmgfsError } from './errors.ts';

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
  const text = reply.text === '' || reply.text === reply.code ? '' : `: ${reply.text}`;
  return new OmgfsError(code, {
    message: `${errorTable[code].message} (tracker said ${reply.code}${text})`,
    wireText: reply.text,
    details: { wire: reply.code },
  });
}
