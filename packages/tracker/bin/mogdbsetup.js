#!/usr/bin/env node
// Kept in the repository because npm links a command only if its file is there when it installs,
// which is before the build.
await import('../dist/bin/mogdbsetup.js');
