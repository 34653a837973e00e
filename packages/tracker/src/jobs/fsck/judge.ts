/**
 * Whether a file's devices are what its class wants. Files that lie on the same devices in the same
 * class get the same answer, which is kept until the cluster changes.
 */
import { parsePolicy } from '../../placement/policy.ts';
import { askAbout } from '../replication/question.ts';
import type { JobServices } from '../services.ts';

const answersMax = 100_000;

interface Placed {
  dmid: number;
  classid: number;
}

export class Judge {
  readonly #services: JobServices;
  readonly #answers = new Map<string, boolean>();

  constructor(services: JobServices) {
    this.#services = services;
    services.topology.onChange(() => this.#answers.clear());
  }

  /** Too few devices, too many, or the wrong ones. */
  isViolated(file: Placed, devids: readonly number[]): boolean {
    const key = `${file.dmid}:${file.classid}:${devids.join()}`;
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      answer = this.#ask(file, devids);
      if (this.#answers.size >= answersMax) this.#answers.clear();
      this.#answers.set(key, answer);
    }
    return answer;
  }

  #ask(file: Placed, devids: readonly number[]): boolean {
    const { dmid, classid } = file;
    // Under a policy that this version cannot follow, files stay as they are.
    const { replpolicy } = this.#services.topology.classOf(dmid, classid);
    if (!parsePolicy(replpolicy).known) return false;
    const asked = { fid: 0, dmid, classid, dkey: '', length: 0, devcount: 0, devids: [...devids] };
    return askAbout(this.#services, asked, {}).verdict !== 'met';
  }
}
