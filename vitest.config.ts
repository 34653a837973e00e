/** How tests run: sources for this process, built files for the processes it starts. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const packages = fileURLToPath(new URL('./packages/', import.meta.url));

const common = {
  resolve: {
    // Tests read the sources, so that a failing line is a line of this repository; the processes
    // that tests start are the built ones.
    alias: readdirSync(packages).map((name) => ({
      find: new RegExp(`^@omgfs/${name}$`),
      replacement: `${packages}${name}/src/index.ts`,
    })),
  },
};
// More than `until` has, which says what was waited for.
const patience = { testTimeout: 300_000, hookTimeout: 300_000, teardownTimeout: 60_000 };

export default defineConfig({
  test: {
    globalSetup: ['test/helpers/global-setup.ts'],
    pool: 'forks',
    // Half of the time a worker waits for daemons, so that three keep two processors busy.
    maxWorkers: 3,
    projects: [
      // Their many small files share three processes: to start one and to load what is tested takes
      // longer than most of them (0.4 s of processor time each, 2026-11).
      {
        ...common,
        test: {
          ...patience,
          name: 'packages',
          include: ['packages/*/test/**/*.test.ts'],
          isolate: false,
        },
      },
      { ...common, test: { ...patience, name: 'whole', include: ['test/**/*.test.ts'] } },
    ],
  },
});
