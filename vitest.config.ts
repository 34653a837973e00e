/** How tests run: sources for this process, built files for the processes it starts. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const packages = fileURLToPath(new URL('./packages/', import.meta.url));

export default defineConfig({
  resolve: {
    // Tests read the sources, so that a failing line is a line of this repository; the processes
    // that tests start are the built ones.
    alias: readdirSync(packages).map((name) => ({
      find: new RegExp(`^@omgfs/${name}$`),
      replacement: `${packages}${name}/src/index.ts`,
    })),
  },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/helpers/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
  },
});
