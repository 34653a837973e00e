/** Writes tar archives, one file after the other. */
import { blockBytes, fileHeader, globalComment, paddingOf } from './header.ts';

/** Where the bytes go; resolves when further ones may come. */
export type TarSink = (bytes: Buffer) => Promise<void>;

export class TarWriter {
  readonly #write: TarSink;

  constructor(write: TarSink) {
    this.#write = write;
  }

  /** Says something of the whole archive. */
  async begin(comment: string): Promise<void> {
    await this.#write(globalComment(comment));
  }

  /** @throws what the body throws; the archive is then in the middle of the file. */
  async file(
    member: { name: string; length: number; comment: string },
    body: AsyncIterable<Buffer>,
  ): Promise<void> {
    await this.#write(fileHeader(member));
    for await (const chunk of body) await this.#write(chunk);
    await this.#write(Buffer.alloc(paddingOf(member.length)));
  }

  async end(): Promise<void> {
    await this.#write(Buffer.alloc(2 * blockBytes));
  }
}
