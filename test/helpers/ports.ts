/** Ports for servers that cannot be asked which one they took. */
import { commonPort } from '../../packages/cli/src/local-cluster/ports.ts';

/**
 * A port that is free and stays so until its server is up: the system gives none of these to the
 * many connections that other tests make meanwhile.
 */
export function freePort(): Promise<number> {
  return commonPort(['127.0.0.1'], undefined);
}
