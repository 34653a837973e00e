/** Numbered reply fields, `dev1_devid dev2_devid …`, as lists of objects. */
import type { JsonFields, JsonScalar } from './api.ts';

/** Objects from fields named `<prefix><n><separator><name>`, for n = 1 up to `total`. */
export function listOf(
  fields: JsonFields,
  { prefix, total, separator = '_' }: { prefix: string; total: JsonScalar; separator?: string },
): JsonFields[] {
  const list: JsonFields[] = Array.from({ length: Number(total) || 0 }, () => ({}));
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

/** Values of fields named `<prefix>1 <prefix>2 …`. */
export function valuesOf(fields: JsonFields, prefix: string, total: JsonScalar): JsonScalar[] {
  return Array.from(
    { length: Number(total) || 0 },
    (_, at) => fields[`${prefix}${at + 1}`] ?? null,
  );
}
