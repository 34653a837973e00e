#!/usr/bin/env node
/**
 * Stores one file by the client library and reads it back. Prints how long the storing took, and
 * how much memory this process held at most until then, and until the end. Arguments: domain,
 * tracker, class, file.
 */
import { readFileSync } from 'node:fs';
import { createClient } from '@omgfs/client';

const [domain = '', tracker = '', className = '', file = ''] = process.argv.slice(2);
const client = createClient({ trackers: [tracker], domain });
const startMs = performance.now();
await client.put('large', { file }, { class: className });
const seconds = (performance.now() - startMs) / 1000;
const stored = peakBytes();
let bytes = 0;
const { stream, length } = await client.get('large');
for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
if (bytes !== length) throw new Error(`${bytes} bytes came back instead of ${length}`);
await client.close();
console.log(JSON.stringify({ seconds, peakBytes: { stored, fetched: peakBytes() } }));

function peakBytes(): number {
  const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(match?.[1]) * 1024;
}
