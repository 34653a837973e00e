/**
 * Several policies at once: each must be met (spec §6.1; the original parses this and then fails).
 * Pure.
 */
import type { PolicyAnswer, PolicyQuestion } from './contract.ts';

type Decide = (question: PolicyQuestion) => PolicyAnswer;

export function union(parts: readonly Decide[], question: PolicyQuestion): PolicyAnswer {
  const answers = parts.map((decide) => decide(question));
  const short = answers.filter((answer) => answer.verdict === 'short');
  if (short.length > 0) {
    // A device that several parts ask for serves them all with one copy.
    const ideal = mostNamed(short.map((answer) => answer.ideal));
    const desperate = mostNamed(short.map((answer) => answer.desperate));
    return {
      verdict: 'short',
      ideal,
      desperate: desperate.filter((devid) => !ideal.includes(devid)),
    };
  }
  const undecided = answers.find((answer) => answer.verdict === 'undecided');
  if (undecided !== undefined) return undecided;
  return { verdict: answers.some(isOver) && hasSurplus(parts, question) ? 'over' : 'met' };
}

/** Whether one copy can go: what one part counts as too many, another may need. */
function hasSurplus(parts: readonly Decide[], question: PolicyQuestion): boolean {
  return question.holding.some(({ devid }) => {
    const holding = question.holding.filter((device) => device.devid !== devid);
    return parts.every((decide) => {
      const answer = decide({ ...question, holding });
      return answer.verdict === 'met' || isOver(answer);
    });
  });
}

function isOver({ verdict }: PolicyAnswer): boolean {
  return verdict === 'over';
}

/** Stable: equals keep the order in which they were named. */
function mostNamed(lists: readonly (readonly number[])[]): number[] {
  const counts = new Map<number, number>();
  for (const devid of lists.flat()) counts.set(devid, (counts.get(devid) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([devid]) => devid);
}
