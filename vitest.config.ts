import { defineConfig } from 'vitest/config';

const common = { environment: 'node', pool: 'forks' as const, maxWorkers: 2, testTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { ...common, name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { test: { ...common, name: 'golden', include: ['test/golden/**/*.test.ts'] } },
      // Trains models whose truth is known, for minutes.
      { test: { ...common, name: 'known', include: ['test/known/**/*.test.ts'] } },
      // Needs Chromium: `apt-get install chromium`, or CHROMIUM_PATH.
      {
        test: {
          ...common,
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          maxWorkers: 1,
        },
      },
      // Needs an adapter: `npm run test:webgpu` brings a software one, whose shaders compile slowly.
      {
        test: {
          ...common,
          name: 'webgpu',
          include: ['test/webgpu/**/*.test.ts'],
          maxWorkers: 1,
          testTimeout: 600_000,
        },
      },
    ],
  },
});
