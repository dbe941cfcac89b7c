/** Servers of the built page on free ports, each for as long as a worker lives, and what every test is held to.
 *
 * `machine` (set by the project) says which model: the default one (`CUTAWAY_MODEL` names another), or a tiny one that
 * `make_models.py` writes. `api` asks the same server what the page asked. Every test fails on a console error, on an
 * exception in the page, and on a request that would leave the machine.
 */
import { test as base, expect, type BrowserContext } from '@playwright/test';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Api } from './api';

export const root = fileURLToPath(new URL('../../', import.meta.url));
const inVenv = (name: string): string => (existsSync(`${root}.venv/bin/${name}`) ? `${root}.venv/bin/${name}` : name);
export const python = inVenv('python');
const UP_WITHIN = 60_000;

export type Machine = 'default' | 'tiny-gpt2' | 'tiny-llama';

export interface Server {
  url: string;
  port: number;
  stop: () => Promise<void>;
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

export async function startServer(model = process.env.CUTAWAY_MODEL, options: { port?: number; more?: string[] } = {}): Promise<Server> {
  const port = options.port ?? (await freePort());
  const command = process.env.CUTAWAY ?? inVenv('cutaway');
  const args = ['serve', '--no-open', '--port', String(port), ...(model ? ['--model', model] : []), ...(options.more ?? [])];
  const child: ChildProcess = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = (): Promise<void> => {
    child.kill();
    return ended;
  };
  const url = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + UP_WITHIN; Date.now() < until; ) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${said}`);
    const answer = await fetch(`${url}/api/health`).catch(() => null);
    if (answer?.ok) return { url, port, stop };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error(`the server did not come up: ${said}`);
}

/** Writes the tiny models into a new folder; gives it. */
export function tinyModels(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cutaway-e2e-'));
  const made = spawnSync(python, ['web/e2e/make_models.py', folder], { cwd: root });
  if (made.status !== 0) throw new Error(String(made.stderr));
  return folder;
}

/** What was said on the console as an error, and where a request wanted to go that is not `site`'s. */
export interface Watched {
  errors: string[];
  elsewhere: string[];
}

/** Requests to another machine are stopped, and remembered. */
export async function watch(context: BrowserContext, site: () => string): Promise<Watched> {
  const watched: Watched = { errors: [], elsewhere: [] };
  context.on('page', (page) => page.on('pageerror', (error) => watched.errors.push(error.message)));
  context.on('console', (message) => message.type() === 'error' && watched.errors.push(`${message.text()} ${message.location().url}`));
  await context.route('**/*', (route) => {
    const url = route.request().url();
    if (url.startsWith(site()) || /^(data|blob|about):/.test(url)) return route.fallback();
    watched.elsewhere.push(url);
    return route.abort();
  });
  return watched;
}

/** The engine's own numbers at some places of a text's trace. */
export type Engine = (text: string, cells: readonly { site: string; index: number[] }[]) => Promise<number[]>;

function startEngine(model: string | undefined): { ask: Engine; stop: () => void } {
  const child = spawn(python, ['web/e2e/engine.py', ...(model ? [model] : [])], { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk));
  const waiting: { resolve: (values: number[]) => void; reject: (error: Error) => void }[] = [];
  createInterface(child.stdout).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line) as number[]));
  child.once('exit', () => waiting.forEach(({ reject }) => reject(new Error(`the engine ended: ${said}`))));
  const ask: Engine = (text, cells) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin.write(`${JSON.stringify([text, cells.map(({ site, index }) => [site, index])])}\n`);
    });
  return { ask, stop: () => void child.kill() };
}

interface Fixtures {
  api: Api;
  watched: Watched;
}

interface Workers {
  machine: Machine;
  /** what `--model` names; undefined: the default */
  model: string | undefined;
  site: string;
  engine: Engine;
}

export const test = base.extend<Fixtures, Workers>({
  machine: ['default', { option: true, scope: 'worker' }],
  model: [
    async ({ machine }, use) => {
      if (machine === 'default') return use(process.env.CUTAWAY_MODEL);
      const folder = tinyModels();
      await use(join(folder, machine));
      rmSync(folder, { recursive: true });
    },
    { scope: 'worker' },
  ],
  site: [
    async ({ model }, use) => {
      const server = await startServer(model);
      await use(server.url);
      await server.stop();
    },
    { scope: 'worker' },
  ],
  engine: [
    async ({ model }, use) => {
      const engine = startEngine(model);
      await use(engine.ask);
      engine.stop();
    },
    { scope: 'worker' },
  ],
  api: async ({ site }, use) => use(new Api(site)),
  watched: [
    async ({ context, site }, use) => {
      const watched = await watch(context, () => site);
      await use(watched);
      expect(watched.errors, 'errors on the console').toEqual([]);
      expect(watched.elsewhere, 'requests that leave the machine').toEqual([]);
    },
    { auto: true },
  ],
});
export { expect };
