/** Numbered reply fields, `dev1_devid dev2_devid …`, as lists. */

/** Objects from fields named `<prefix><n><separator><name>`, for n = 1 up to `total`. */
export function listOf<Value>(
  fields: Readonly<Record<string, Value>>,
  numbering: { prefix: string; total: unknown; separator?: string },
): Record<string, Value>[] {
  const { prefix, total, separator = '_' } = numbering;
  const list: Record<string, Value>[] = Array.from({ length: lengthOf(total) }, () => ({}));
  for (const [name, value] of Object.entries(fields)) {
    if (!name.startsWith(prefix)) continue;
    const match = /^(\d+)(.+)$/s.exec(name.slice(prefix.length));
    const item = list[Number(match?.[1]) - 1];
    if (item !== undefined && match?.[2]?.startsWith(separator) === true) {
      item[match[2].slice(separator.length)] = value;
    }
  }
  return list;
}

/** Values of fields named `<prefix>1 <prefix>2 …`; null where one is missing. */
export function valuesOf<Value>(
  fields: Readonly<Record<string, Value>>,
  numbering: { prefix: string; total: unknown },
): (Value | null)[] {
  const { prefix, total } = numbering;
  return Array.from({ length: lengthOf(total) }, (_, at) => fields[`${prefix}${at + 1}`] ?? null);
}

/** More than any reply holds; a reply that claims more is not believed. */
const itemsMax = 100_000;

function lengthOf(total: unknown): number {
  return Math.min(itemsMax, Math.max(0, Math.floor(Number(total)) || 0));
}
