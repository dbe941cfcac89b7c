import { describe, expect, it } from 'vitest';
import { Client } from '../protocol/client';
import type { TraceRequest } from '../protocol/types';
import { Session } from './session.svelte';

interface Asked { url: string; body: TraceRequest | null }

/** A server that answers a trace's manifest under an id made of what was asked; `refuse` says no to changes. */
function sessionOf(options: { refuse?: boolean } = {}): { session: Session; asked: Asked[] } {
  const asked: Asked[] = [];
  const json = (value: unknown, status = 200): Response => new Response(JSON.stringify(value), { status });
  const client = new Client({
    fetch: (async (url: string, init: RequestInit = {}) => {
      const body = typeof init.body === 'string' ? (JSON.parse(init.body) as TraceRequest) : null;
      asked.push({ url, body });
      await Promise.resolve();
      if (url === '/api/models') return json({ default: 'm', models: [] });
      if (url === '/api/models/m') return json({ name: 'm', sites: [], parameters: [] });
      if (url !== '/api/traces') return json({ error: { kind: 'NotFound', message: 'no' } }, 404);
      const changes = body?.interventions ?? [];
      if (changes.length && options.refuse) return json({ error: { kind: 'BadSelection', message: 'position 9 is not there.' } }, 422);
      return json({ id: `${body?.text}|${changes.length}`, model: 'm', text: body?.text, tokens: [], start: 0, n_pos: 1, shapes: {}, interventions: [], seconds: { engine: 0 } });
    }) as typeof fetch,
  });
  return { session: new Session(client), asked };
}

const ZERO = { action: 'zero', site: 'embed' };

describe('the run and the unchanged run', () => {
  it('nothing changed: one trace, none before it', async () => {
    const { session } = sessionOf();
    await session.ask('hi', null);
    expect(session.trace?.manifest.id).toBe('hi|0');
    expect(session.before).toBeNull();
  });
  it('changed: both, of the same text; removed: the unchanged one again, and the same', async () => {
    const { session } = sessionOf();
    await session.ask('hi', null);
    const plain = session.trace;
    await session.ask('hi', null, [ZERO]);
    expect(session.trace?.manifest.id).toBe('hi|1');
    expect(session.before).toBe(plain);
    await session.ask('hi', null);
    expect(session.trace).toBe(plain);
    expect(session.before).toBeNull();
  });
  it('what is refused is said, and the text runs as it is', async () => {
    const { session } = sessionOf({ refuse: true });
    await session.ask('hi', null, [ZERO]);
    expect(session.trace?.manifest.id).toBe('hi|0');
    expect(session.before).toBeNull();
    expect(session.error).toBe('position 9 is not there.');
  });
  it('the newest text wins', async () => {
    const { session } = sessionOf();
    const first = session.ask('one', 'm', [ZERO]);
    await session.ask('two', 'm', [ZERO]);
    await first;
    expect(session.trace?.manifest.text).toBe('two');
    expect(session.busy).toBe(false);
  });
});

it('once the default is known, the question leaves in the same turn', async () => {
  const { session, asked } = sessionOf();
  await session.ask('hi', null);
  const before = asked.length;
  void session.ask('hi!', null);
  expect(asked.slice(before).map(({ url, body }) => [url, body?.text])).toEqual([['/api/traces', 'hi!']]);
});
