import { defineConfig } from 'vitest/config';
import LastLine from './scripts/last-line-reporter.ts';
import projects from './vitest.workspace.ts';

export default defineConfig({
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
