/** What a verification can find. */

export type FindingKind =
  | 'no_copy'
  | 'missing'
  | 'wrong_length'
  | 'wrong_checksum'
  | 'unreachable'
  | 'too_few_copies'
  | 'copies_waiting'
  | 'wrong_count'
  | 'lost'
  | 'other_bytes'
  | 'stray';

/** Whether a finding means that something is wrong, or only that it could not be told. */
export const severities: Readonly<Record<FindingKind, 'bad' | 'notice'>> = {
  no_copy: 'bad',
  missing: 'bad',
  wrong_length: 'bad',
  wrong_checksum: 'bad',
  unreachable: 'notice',
  too_few_copies: 'bad',
  copies_waiting: 'notice',
  wrong_count: 'notice',
  lost: 'bad',
  other_bytes: 'bad',
  stray: 'notice',
};

export interface Finding {
  kind: FindingKind;
  severity: 'bad' | 'notice';
  fid: number | null;
  domain: string | null;
  key: string | null;
  devid: number | null;
  /** A sentence for people. */
  detail: string;
}

export function finding(
  kind: FindingKind,
  detail: string,
  where: Partial<Pick<Finding, 'fid' | 'domain' | 'key' | 'devid'>>,
): Finding {
  const nowhere = { fid: null, domain: null, key: null, devid: null };
  return { kind, severity: severities[kind], ...nowhere, ...where, detail };
}
