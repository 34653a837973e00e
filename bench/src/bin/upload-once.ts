#!/usr/bin/env node
/**
 * Stores one file by the client library and prints how long that took and how much memory this
 * process held at most. Arguments: domain, tracker, class, file.
 */
import { readFileSync } from 'node:fs';
import { createClient } from '@omgfs/client';

const [domain = '', tracker = '', className = '', file = ''] = process.argv.slice(2);
const client = createClient({ trackers: [tracker], domain });
const startMs = performance.now();
await client.put('large', { file }, { class: className });
const seconds = (performance.now() - startMs) / 1000;
await client.close();
const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
console.log(JSON.stringify({ seconds, peakBytes: Number(peak?.[1]) * 1024 }));
