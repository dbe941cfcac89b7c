import { describe, expect, it } from 'vitest';
import { ApiError, Client, modelPath, search } from './client';
import { BadFrame, readSafetensors } from './safetensors';

function frame(header: unknown, data: Uint8Array = new Uint8Array(0)): ArrayBuffer {
  let text = typeof header === 'string' ? header : JSON.stringify(header);
  while (text.length % 8) text += ' ';
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(new TextEncoder().encode(text), 8);
  bytes.set(data, 8 + text.length);
  return bytes.buffer;
}
const floats = new Uint8Array(Float32Array.from([1, 2, -Infinity, 4]).buffer);

describe('safetensors', () => {
  it('lays typed views over the bytes, without a copy', () => {
    const buffer = frame(
      { __metadata__: { ranges: '{}' }, a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] } }, floats,
    );
    const { tensors, metadata } = readSafetensors(buffer);
    const a = tensors.get('a');
    expect(a?.data.buffer).toBe(buffer);
    expect([...(a?.data ?? [])]).toEqual([1, 2, -Infinity, 4]);
    expect(metadata).toEqual({ ranges: '{}' });
  });
  it.each([
    ['too short', new ArrayBuffer(4)],
    ['a header longer than the answer', new Uint8Array(Array(16).fill(255)).buffer],
    ['no JSON', frame('{"a": ')],
    ['another dtype', frame({ a: { dtype: 'F64', shape: [2], data_offsets: [0, 16] } }, floats)],
    ['a shape that does not fit', frame({ a: { dtype: 'F32', shape: [5], data_offsets: [0, 16] } }, floats)],
    ['bytes beyond the end', frame({ a: { dtype: 'F32', shape: [8], data_offsets: [0, 32] } }, floats)],
    ['a negative length', frame({ a: { dtype: 'F32', shape: [-4], data_offsets: [0, 16] } }, floats)],
    ['an odd place', frame({ a: { dtype: 'F32', shape: [1], data_offsets: [2, 6] } }, floats)],
  ])('refuses %s', (_, buffer) => {
    expect(() => readSafetensors(buffer)).toThrow(BadFrame);
  });
});

const json = (body: unknown, status = 200, headers = {}): Response =>
  new Response(JSON.stringify(body), { status, headers });

describe('the client', () => {
  it('drops the older keystroke and counts the newer', async () => {
    const sent: { seq: number; client: string; signal: AbortSignal }[] = [];
    const client = new Client({
      fetch: ((_: string, init: RequestInit) => {
        sent.push({ ...JSON.parse(init.body as string), signal: init.signal });
        return new Promise((resolve, reject) => {
          init.signal?.addEventListener('abort', () => reject(new DOMException('', 'AbortError')));
          if (sent.length === 2) resolve(json({ id: 'b' }));
        });
      }) as typeof fetch,
    });
    const older = client.typed({ model: 'm', text: 'a' });
    const newer = client.typed({ model: 'm', text: 'ab' });
    await expect(older).rejects.toMatchObject({ name: 'AbortError' });
    await expect(newer).resolves.toMatchObject({ id: 'b' });
    expect(sent.map((each) => each.seq)).toEqual([1, 2]);
    expect(sent[0]?.client).toBe(sent[1]?.client);
  });
  it('waits for a server that is away, longer each time, and tells when it is back', async () => {
    const waits: number[] = [];
    const away: boolean[] = [];
    let tries = 0;
    const client = new Client({
      fetch: (async () => {
        if (++tries < 4) throw new TypeError('failed to fetch');
        return json({ ok: 1 });
      }) as typeof fetch,
      wait: async (ms) => void waits.push(ms),
      onAway: (is) => away.push(is),
    });
    await expect(client.json('/api/health')).resolves.toEqual({ ok: 1 });
    expect(waits).toEqual([400, 800, 1600]);
    expect(away).toEqual([true, false]);
  });
  it('does as a busy server says, without an alarm', async () => {
    const waits: number[] = [];
    const away: boolean[] = [];
    const answers = [json({}, 503, { 'retry-after': '2' }), json({ ok: 1 })];
    const client = new Client({
      fetch: (async () => answers.shift()) as typeof fetch, wait: async (ms) => void waits.push(ms), onAway: (is) => away.push(is),
    });
    await client.json('/x');
    expect([waits, away]).toEqual([[2000], []]);
  });
  it('gives the server’s one sentence', async () => {
    const client = new Client({ fetch: (async () => json({ error: { kind: 'BadInput', message: 'too long' } }, 400)) as typeof fetch });
    await expect(client.json('/x')).rejects.toEqual(new ApiError(400, 'BadInput', 'too long'));
  });
  it('escapes names and leaves out what is not set', () => {
    expect(modelPath('org/a b:c')).toBe('org/a%20b%3Ac');
    expect(search({ a: 1, b: null, c: '' })).toBe('?a=1');
  });
});
