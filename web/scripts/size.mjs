/** Fails where the page's scripts, compressed, are larger than the budget. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET = 350 * 1024;
const assets = new URL('../../src/cutaway/server/static/assets/', import.meta.url).pathname;
const scripts = readdirSync(assets).filter((name) => name.endsWith('.js'));
const total = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(assets, name)), { level: 9 }).length, 0);
console.log(`scripts: ${scripts.length} files, ${(total / 1024).toFixed(1)} KB compressed (budget ${BUDGET / 1024} KB)`);
if (total > BUDGET) process.exit(1);
