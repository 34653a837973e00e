/** A refusal with its status and, where RFC 4918 §16 names one, the condition that was violated. */
export class DavError extends Error {
  readonly status: number;
  readonly condition: string | undefined;

  constructor(status: number, message: string, condition?: string) {
    super(message);
    this.name = 'DavError';
    this.status = status;
    this.condition = condition;
  }
}
