/** A small GET, for what a person could ask with curl. */
import { get as httpGet } from 'node:http';

const bytesMax = 64 * 1024;

/** Rejects when nothing answers in time. */
export function get(url: string, deadlineMs: number): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = httpGet(url, { agent: false, timeout: deadlineMs }, (reply) => {
      let text = '';
      reply.setEncoding('utf8');
      reply.on('data', (part: string) => {
        text += part;
        if (text.length > bytesMax) reply.destroy(new Error('the answer is too long'));
      });
      reply.once('error', reject);
      reply.once('end', () => resolve({ status: reply.statusCode ?? 0, text }));
    });
    const overdue = () => request.destroy(new Error(`did not answer within ${deadlineMs} ms`));
    const timer = setTimeout(overdue, deadlineMs);
    request.once('close', () => clearTimeout(timer));
    request.once('error', reject);
  });
}
