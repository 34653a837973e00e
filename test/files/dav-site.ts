/** The share of the domain `main`, as its clients and as applications beside it see it. */
import { expect } from 'vitest';
import { putBody, type RawClient } from '../helpers/raw-client.ts';

export class DavSite {
  readonly #port: number;
  readonly #client: RawClient;

  constructor(port: number, client: RawClient) {
    this.#port = port;
    this.#client = client;
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.#port}/dav/main${path}`;
  }

  async dav(method: string, path: string, headers: Record<string, string> = {}, body?: string) {
    const init = body === undefined ? {} : { body };
    const answer = await fetch(this.url(path), { method, headers, ...init });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  }

  /** Stores a file as an application does that knows nothing of folders. */
  async putKey(key: string, body: string): Promise<void> {
    const place = { domain: 'main', key };
    const { fid, devid, path } = await this.#client.call('create_open', place);
    await putBody(path ?? '', body);
    await this.#client.call('create_close', { ...place, fid, devid, path, size: body.length });
  }

  async keys(prefix: string): Promise<string[]> {
    const reply = await this.#client.call('list_files', { domain: 'main', prefix });
    return Array.from({ length: Number(reply.file_count) }, (_, at) => {
      return reply[`file_${at + 1}_key`] ?? '';
    });
  }

  /** What a folder lists, without itself. */
  async members(path: string): Promise<string[]> {
    const { status, text } = await this.dav('PROPFIND', path, { Depth: '1' });
    expect(status).toBe(207);
    const hrefs = [...text.matchAll(/<D:response><D:href>([^<]*)/g)].map((match) => match[1] ?? '');
    expect(hrefs.shift()).toBe(`/dav/main${path}`);
    return hrefs.map((href) => href.slice(`/dav/main${path}`.length));
  }
}
