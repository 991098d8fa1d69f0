import { defineConfig } from 'vitest/config';
import { defaultServerConditions } from 'vite';
import LastLine from './scripts/last-line-reporter.ts';
import projects from './vitest.workspace.ts';

/** Workspace packages are tested as written, not as last built. */
const conditions = ['source', ...defaultServerConditions];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    projects,
    reporters: ['default', new LastLine()],
    coverage: {
      provider: 'v8',
      include: ['packages/*/src/**/*.ts'],
      reporter: ['text-summary', 'html', 'lcov'],
    },
  },
});
