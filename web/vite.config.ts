import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { onlyWoff2 } from './scripts/only-woff2.mjs';

// `npm run dev` passes /api on to a server started with `cutaway serve`; CUTAWAY_SERVER says where it listens.
const server = process.env.CUTAWAY_SERVER ?? 'http://127.0.0.1:8765';

export default defineConfig({
  plugins: [onlyWoff2(), svelte()],
  build: {
    outDir: '../src/cutaway/server/static',
    emptyOutDir: true,
    target: 'es2022',
    // the Content-Security-Policy allows no data: URLs
    assetsInlineLimit: 0,
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': { target: server, changeOrigin: true, headers: { origin: server } } } },
});
