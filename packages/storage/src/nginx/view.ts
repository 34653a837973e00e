/**
 * The devices as nginx sees them where the system allows it: mounted once more in a mount namespace
 * of its own, read-only and with `nosymfollow` (Linux 5.10), so that the kernel follows no symbolic
 * link on them, from the first request on and at no cost. A device that is not in the view, because
 * it has just come or cannot be mounted, is served by the node; one that is not ready any more, or
 * another disk than before, is taken out.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Log } from '../log.ts';

export interface Disk {
  /** Its directory in the docroot: `dev3`. */
  name: string;
  /** The same without symbolic links. */
  root: string;
  /** Another one when another disk is there. */
  stamp: string;
}

export interface ViewOptions {
  /** Those that nginx may read now. */
  disks: () => readonly Disk[];
  log: Log;
}

/**
 * Where they are. Every system has it, no disk lies below it, and nginx has no use for what else is
 * there. Each directory more on the way to a file takes a hundredth of a read of 4 KiB.
 */
export const viewDir = '/sys';

const run = promisify(execFile);
const answerMsMax = 10_000;
const lookMs = 1_000;

/**
 * A disk is seen only when its mount is complete: it takes two system calls, and old programs and
 * kernels leave an option out that they do not know without a word.
 */
const functions = `
dir=${viewDir}
mount -n -t tmpfs -o size=1m,mode=755 omgfs "$dir" || exit 1
mounted() { grep -F " $dir/$1 " /proc/self/mountinfo; }
hide() { umount -n -l "$dir/$1" 2>/dev/null; ! mounted "$1" >/dev/null; }
show() {
  mkdir -p "$dir/.new" "$dir/$1" &&
  mount -n --bind -o ro,nosuid,nodev,noexec,nosymfollow "$2" "$dir/.new" &&
  mounted .new | grep -q '[ ,]nosymfollow[ ,]' &&
  mount -n --move "$dir/.new" "$dir/$1" || { hide .new; false; }
}
`;
const probe = `${functions} show dev "$dir"`;
/**
 * Becomes the command that it is given, and leaves a process in the namespace that follows orders
 * from descriptor 3, answering each on 4, until its end; it has no other way in.
 */
const script = `${functions}
( while read -r change name root; do
    case $change in
      show) show "$name" "$root" ;;
      hide) hide "$name" ;;
    esac && echo done || echo failed
  done <&3 >&4 & )
exec "$@" 3<&- 4>&-
`;

/** Mounts and unmounts outside are seen inside, so that no disk is held that was not shown. */
const apart = ['--mount', '--propagation', 'slave'];
/** Others may do it as owners of a user namespace, with no right outside; nginx has none inside. */
const asUser = {
  unshare: ['--user', '--map-current-user', '--keep-caps', ...apart],
  exec: ['setpriv', '--inh-caps=-all', '--ambient-caps=-all', '--'],
};
const asRoot = { unshare: apart, exec: [] };

export class View {
  readonly #options: ViewOptions;
  readonly #rights = process.getuid?.() === 0 ? asRoot : asUser;
  #shown = new Map<string, Disk>();
  #orders: Writable | undefined;
  #answers: AsyncIterator<string> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #updating = false;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  /** Whether this system lets us. */
  async isPossible(): Promise<boolean> {
    const args = [...this.#rights.unshare, 'sh', '-c', probe];
    return await run('unshare', args, { timeout: answerMsMax }).then(
      () => true,
      () => false,
    );
  }

  /** What to start in place of a command, with pipes as descriptors 3 and 4. */
  around(command: readonly string[]): string[] {
    const { unshare, exec } = this.#rights;
    return ['unshare', ...unshare, 'sh', '-c', script, 'sh', ...exec, ...command];
  }

  /** Shows the disks to the process that was started, and keeps to them until `stop`. */
  async follow(child: ChildProcess): Promise<void> {
    this.stop();
    const [, , , orders, answers] = child.stdio;
    if (!(orders instanceof Writable) || !(answers instanceof Readable)) return;
    orders.on('error', () => {});
    this.#shown.clear();
    this.#orders = orders;
    this.#answers = createInterface({ input: answers })[Symbol.asyncIterator]();
    const look = () => {
      // What cannot be hidden would be read: started anew nginx sees nothing that is not shown.
      return this.#update().catch((error: unknown) => {
        this.#options.log.error({ reason: String(error) }, 'nginx.blind');
        child.kill('SIGTERM');
      });
    };
    await look();
    this.#timer = setInterval(() => void look(), lookMs).unref();
    child.once('exit', () => this.stop());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#orders?.end();
  }

  /** @throws Error when something could not be hidden. */
  async #update(): Promise<void> {
    if (this.#updating) return;
    this.#updating = true;
    try {
      // An order is a line.
      const disks = this.#options.disks().filter(({ root }) => !root.includes('\n'));
      const now = new Map(disks.map((disk) => [disk.name, disk]));
      for (const disk of this.#shown.values()) {
        if (isSame(disk, now.get(disk.name))) continue;
        if (!(await this.#order(`hide ${disk.name}`)))
          throw new Error(`${disk.name} stays mounted`);
        this.#shown.delete(disk.name);
      }
      for (const disk of now.values()) {
        if (this.#shown.has(disk.name)) continue;
        this.#shown.set(disk.name, disk);
        if (await this.#order(`show ${disk.name} ${disk.root}`)) continue;
        const reason = `nginx does not see ${disk.name}; the node serves it itself`;
        this.#options.log.warn({ reason }, 'nginx.unseen');
      }
    } finally {
      this.#updating = false;
    }
  }

  /** @returns whether it was done. @throws Error without an answer. */
  async #order(line: string): Promise<boolean> {
    this.#orders?.write(`${line}\n`);
    const late = delay(answerMsMax, undefined, { ref: false });
    const answer = await Promise.race([this.#answers?.next(), late]);
    if (answer?.done !== false) throw new Error(`no answer to '${line}'`);
    return answer.value === 'done';
  }
}

function isSame(one: Disk, other: Disk | undefined): boolean {
  return one.root === other?.root && one.stamp === other.stamp;
}
