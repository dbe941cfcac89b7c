/** A server of the built page on a free port, for as long as a worker lives. `CUTAWAY_MODEL` names another model. */
import { test as base } from '@playwright/test';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const inVenv = `${root}.venv/bin/cutaway`;

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

export async function startServer(model = process.env.CUTAWAY_MODEL): Promise<{ url: string; stop: () => void }> {
  const port = await freePort();
  const command = process.env.CUTAWAY ?? (existsSync(inVenv) ? inVenv : 'cutaway');
  const args = ['serve', '--no-open', '--port', String(port), ...(model ? ['--model', model] : [])];
  const child: ChildProcess = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk));
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${said}`);
    const answer = await fetch(`${url}/api/health`).catch(() => null);
    if (answer?.ok) return { url, stop: () => void child.kill() };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  child.kill();
  throw new Error(`the server did not come up: ${said}`);
}

export const test = base.extend<object, { site: string }>({
  site: [
    async ({}, use) => {
      const server = await startServer();
      await use(server.url);
      server.stop();
    },
    { scope: 'worker' },
  ],
});
export { expect } from '@playwright/test';
