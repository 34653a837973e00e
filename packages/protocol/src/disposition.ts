/** `Content-Disposition` with a file name of any characters (RFC 6266, RFC 8187). */

export type Disposition = 'inline' | 'attachment';

/**
 * The value of the header. Separators of paths and control characters become `_`: the name comes
 * from whoever uploaded the file.
 *
 * @example contentDisposition('attachment', 'naïve.txt')
 *   // attachment; filename="naive.txt"; filename*=UTF-8''na%C3%AFve.txt
 */
export function contentDisposition(disposition: Disposition, filename?: string): string {
  if (filename === undefined) return disposition;
  const name = filename.replace(/[\p{Cc}/\\]/gu, '_').replace(/\p{Surrogate}/gu, '\uFFFD');
  // For clients that know no other; some decode %xx in it and others do not, so it has none.
  const plain = name
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[^ -~]|["%]/gu, '_');
  const short = `${disposition}; filename="${plain}"`;
  return plain === name ? short : `${short}; filename*=UTF-8''${encoded(name)}`;
}

/** `encodeURIComponent` leaves four characters that RFC 8187 does not allow. */
function encoded(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}
