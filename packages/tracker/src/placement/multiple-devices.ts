/** The policy that counts devices and ignores hosts (spec §6.4). Pure. */
import {
  copyCandidates,
  fillsAllDisks,
  inOrder,
  nowhereToGo,
  type PolicyAnswer,
  type PolicyQuestion,
} from './contract.ts';

/** The steps of spec §6.4, in their order. */
export function multipleDevices(question: PolicyQuestion): PolicyAnswer {
  const { holding, min, random } = question;
  if (holding.length === min) return { verdict: 'met' };
  if (holding.length > min) return { verdict: 'over' };
  if (fillsAllDisks(question)) return { verdict: 'met' };
  const candidates = copyCandidates(question);
  if (candidates.length === 0) return nowhereToGo;
  return { verdict: 'short', ideal: inOrder(candidates, random), desperate: [] };
}
