/** A process that the front starts. */
export interface Role {
  /** Called before the process ends because of a fault of ours; must not wait. */
  fail(error: unknown): void;
}
