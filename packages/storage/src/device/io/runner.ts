/** How the system calls of a device are made: at once, or in turn. */

/** Runs a system call when its turn comes. */
export type Runner = <T>(call: () => Promise<T>) => Promise<T>;
