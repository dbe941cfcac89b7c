import { defineConfig } from '@playwright/test';
import type { Machine } from './e2e/server';

// One browser, Debian's or the one that CHROMIUM names; each worker's server is started by e2e/server.ts. The tiny models
// take what holds for every model; the rest is read on the default one.
const EVERY_MODEL = /(numbers|walk|generate|change|find|models|play|take)\.spec\.ts/;
// and what a long text asks of the page, on tiny models that read one
const LONG = /long(-panels)?\.spec\.ts/;
const GALLERY = /gallery\.spec\.ts/;

export default defineConfig<object, { machine: Machine }>({
  testDir: 'e2e',
  timeout: 90_000,
  expect: { timeout: 20_000 },
  workers: 2, // each has a browser and a server of its own
  reporter: 'list',
  use: {
    viewport: { width: 1440, height: 900 },
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync',
      ],
    },
  },
  projects: [
    { name: 'default', use: { machine: 'default' }, testIgnore: GALLERY },
    { name: 'tiny-gpt2', use: { machine: 'tiny-gpt2' }, testMatch: EVERY_MODEL },
    { name: 'tiny-llama', use: { machine: 'tiny-llama' }, testMatch: EVERY_MODEL },
    { name: 'tiny-long-gpt2', use: { machine: 'tiny-long-gpt2' as Machine }, testMatch: LONG },
    { name: 'tiny-long-llama', use: { machine: 'tiny-long-llama' as Machine }, testMatch: LONG },
    { name: 'gallery', use: { machine: 'default' }, testMatch: GALLERY },
  ],
});
