import { describe, expect, it } from 'vitest';
import { ApiError, Client } from '../protocol/client';
import type { Manifest, ModelAnswer } from '../protocol/types';
import { headRows, matrix, stacked, valueAt, type Tensor } from './tensor';
import { CHUNK, chunksOf, LONG, partAround } from './rows';
import { blockOf, inBlock, templateOf, Trace } from './trace';

function packed(tensors: Record<string, { shape: number[]; data: number[]; ints?: boolean }>): ArrayBuffer {
  const header: Record<string, unknown> = { __metadata__: { ranges: '{"embed": {"c": 2, "absmax": 9}}' } };
  let at = 0;
  for (const [name, { shape, data, ints }] of Object.entries(tensors)) {
    header[name] = { dtype: ints ? 'I32' : 'F32', shape, data_offsets: [at, (at += data.length * 4)] };
  }
  let text = JSON.stringify(header);
  while (text.length % 8) text += ' ';
  const out = new Uint8Array(8 + text.length + at);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(new TextEncoder().encode(text), 8);
  let place = 8 + text.length;
  for (const { data, ints } of Object.values(tensors)) {
    out.set(new Uint8Array((ints ? Int32Array.from(data) : Float32Array.from(data)).buffer), place);
    place += data.length * 4;
  }
  return out.buffer;
}

const manifest = {
  id: 't1', model: 'm', text: 'hi', tokens: [], start: 0, n_pos: 2, shapes: { embed: [2, 8] }, interventions: [], seconds: { engine: 0 }, python: '',
} as Manifest;
const model = { name: 'm', sites: [{ template: 'embed', axes: ['pos', 'd_model'] }], parameters: [] } as unknown as ModelAnswer;

function traceOf(respond: (url: string, init: RequestInit) => Response): { trace: Trace; urls: string[] } {
  const urls: string[] = [];
  const client = new Client({
    fetch: (async (url: string, init: RequestInit) => {
      urls.push(decodeURIComponent(url));
      return respond(url, init);
    }) as typeof fetch,
  });
  return { trace: new Trace(manifest, model, client), urls };
}

describe('a trace', () => {
  const body = packed({
    embed: { shape: [2, 2], data: [1, 2, 3, 4] }, 'embed#index': { shape: [2, 2], data: [0, 7, 1, 6], ints: true },
    ln: { shape: [2, 2], data: [5, 6, 7, 8] },
  });
  it('asks once for what is asked together, and once for what is asked twice', async () => {
    const { trace, urls } = traceOf(() => new Response(body));
    const [embed, ln] = await Promise.all([trace.site('embed', {}, { bins: 2 }), trace.site('ln', {}, { bins: 2 })]);
    await trace.site('embed', {}, { bins: 2 });
    expect(urls).toEqual(['/api/traces/t1/sites?names=embed,ln&reduce=absmax&bins=2']);
    expect(valueAt(embed, [1, 0])).toBe(3);
    expect([...(embed.at ?? [])]).toEqual([0, 7, 1, 6]);
    expect([embed.fullLast, embed.range.c, embed.axes]).toEqual([8, 2, ['pos', 'd_model']]);
    expect(ln.at).toBeNull();
  });
  it('that has gone is made again by itself, once, and the request repeated', async () => {
    const { trace, urls } = traceOf((url, init) => {
      if (init.method === 'POST') expect(JSON.parse(init.body as string)).not.toHaveProperty('text');
      if (init.method === 'POST') return new Response(JSON.stringify({ id: 't2' }));
      if (url.includes('t1')) return new Response(JSON.stringify({ error: { kind: 'TraceGone', message: 'gone' } }), { status: 410 });
      return new Response(body);
    });
    const [embed] = await Promise.all([trace.site('embed'), trace.site('embed', { pos: 0 })]);
    expect(embed.data[0]).toBe(1);
    expect(urls.filter((url) => url === '/api/traces')).toHaveLength(1);
    expect(urls.at(-1)).toContain('/api/traces/t2/');
  });
  it('may ask again for what failed', async () => {
    let n = 0;
    const { trace } = traceOf(() => (n++ ? new Response(body) : new Response('{}', { status: 400 })));
    await expect(trace.site('embed')).rejects.toBeInstanceOf(ApiError);
    await expect(trace.site('embed')).resolves.toMatchObject({ name: 'embed' });
  });
});

it('names find their template, their block and their head’s rows', () => {
  expect(templateOf('blocks.12.attn.q')).toBe('blocks.{i}.attn.q');
  expect(inBlock('attn.q', 3)).toBe('blocks.3.attn.q');
  expect(inBlock('blocks.{i}.attn.q', 3)).toBe('blocks.3.attn.q');
  expect([blockOf('blocks.7.x'), blockOf('embed')]).toEqual([7, null]);
  const range = { min: 0, max: 0, absmax: 0, c: 0, whole: true };
  const q = { name: 'q', axes: ['pos', 'head', 'd_head'], shape: [2, 2, 2], data: Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7]), at: null, fullLast: 2, range };
  expect([...headRows(q, 1).data]).toEqual([2, 3, 6, 7]);
  expect([...matrix(q, [1]).data]).toEqual([4, 5, 6, 7]);
});

describe('parts of a tall site', () => {
  const part = (axes: string[], shape: number[], data: number[], at: number[] | null = null): Tensor => ({
    name: 's', axes, shape, data: Float32Array.from(data), at: at && Int32Array.from(at), fullLast: 8, range: { min: 0, max: 1, absmax: 1, c: 1, whole: true },
  });

  it('follow one another along the positions, wherever that axis stands', () => {
    const rows = stacked([part(['pos', 'kv_head', 'd_head'], [2, 1, 2], [1, 2, 3, 4]), part(['pos', 'kv_head', 'd_head'], [1, 1, 2], [5, 6])]);
    expect(rows.shape).toEqual([3, 1, 2]);
    expect([...rows.data]).toEqual([1, 2, 3, 4, 5, 6]);
    const queries = stacked([part(['head', 'q_pos', 'k_pos'], [1, 1, 2], [1, 2], [0, 7]), part(['head', 'q_pos', 'k_pos'], [1, 2, 2], [3, 4, 5, 6], [1, 6, 2, 5])]);
    expect(queries.shape).toEqual([1, 3, 2]);
    expect([...(queries.at ?? [])]).toEqual([0, 7, 1, 6, 2, 5]);
    expect(queries.fullLast).toBe(8);
  });
});

it('chunks cover a span, start at multiples and end with the text', () => {
  const found = chunksOf({ from: 100, to: 300 }, 290);
  expect(found.map(({ from }) => from)).toEqual([0, CHUNK, 2 * CHUNK]);
  expect(found.at(-1)?.to).toBe(290);
  expect(chunksOf({ from: 0, to: 0 }, 10)).toEqual([]);
});

it('a position of a long text stands in one chunk; a short text is one part', () => {
  expect(partAround(0, LONG)).toBeUndefined();
  const part = partAround(CHUNK, LONG + 1);
  expect(part).toEqual({ from: CHUNK, to: LONG + 1 });
});
