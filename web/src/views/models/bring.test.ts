import { describe, expect, it } from 'vitest';
import { ApiError, type Client } from '../../protocol/client';
import { Bring } from './bring.svelte';

type Said = { event: string; data: unknown };

/** A server that says these, one at a time, each when `next` is called; `ended` when the reader has gone. */
function server(said: (Said | Error)[]): { client: Pick<Client, 'events'>; asked: unknown[]; signal: () => AbortSignal | undefined } {
  const asked: unknown[] = [];
  let kept: AbortSignal | undefined;
  const client = {
    async *events(path: string, body: unknown, signal?: AbortSignal) {
      asked.push([path, body]);
      kept = signal;
      for (const each of said) {
        await Promise.resolve();
        if (signal?.aborted) throw new DOMException('aborted', 'AbortError');
        if (each instanceof Error) throw each;
        yield each;
      }
    },
  } as unknown as Pick<Client, 'events'>;
  return { client, asked, signal: () => kept };
}

const progress = (bytes: number, total: number | null): Said => ({ event: 'progress', data: { what: 'weights', bytes, total } });

describe('bringing a model', () => {
  it('tells how much has come, and what the model is called then', async () => {
    const bring = new Bring();
    const { client, asked } = server([progress(0, null), progress(25, 100), { event: 'end', data: { name: 'gpt2' } }]);
    const coming = bring.start(client, 'gpt2');
    expect(bring.name).toBe('gpt2');
    expect(await coming).toBe('gpt2');
    expect(asked).toEqual([['/api/models/pull', { name: 'gpt2' }]]);
    expect(bring.share).toBe(0.25);
    expect([bring.name, bring.failed]).toEqual([null, '']);
  });

  it('says why it did not come', async () => {
    const bring = new Bring();
    expect(await bring.start(server([progress(5, 10), new ApiError(500, 'X', 'the hub did not answer.')]).client, 'gpt2')).toBeNull();
    expect([bring.name, bring.failed]).toEqual([null, 'the hub did not answer.']);
    expect(await bring.start(server([progress(5, 10)]).client, 'gpt2')).toBeNull();
    expect(bring.failed).toContain('goes on');
  });

  it('stops without a word, and what was stopped says nothing afterwards', async () => {
    const bring = new Bring();
    const { client, signal } = server([progress(5, 10), { event: 'end', data: { name: 'gpt2' } }]);
    const coming = bring.start(client, 'gpt2');
    bring.stop();
    expect(await coming).toBeNull();
    expect(signal()?.aborted).toBe(true);
    expect([bring.name, bring.failed]).toEqual([null, '']);
  });
});
