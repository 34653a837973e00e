/** Bytes of files on standard output. */

/** Resolves when the piece was taken. @throws EPIPE when nobody reads any more. */
export function toOutput(piece: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}
