import { describe, expect, it } from 'vitest';
import { ApiError, Client } from './client';
import { EventParser, eventsOf, type ServerEvent } from './events';

const SENT = 'event: step\ndata: {"a": 1}\n\n: a comment\n\nevent: end\ndata: one\ndata: two\n\ndata: "↵ ·"\r\n\r\n';
const MEANT: ServerEvent[] = [
  { event: 'step', data: '{"a": 1}' }, { event: 'end', data: 'one\ntwo' }, { event: 'message', data: '"↵ ·"' },
];

function body(bytes: Uint8Array, size: number, onCancel: () => void = () => undefined): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.slice(at, (at += size)));
    },
    cancel: onCancel,
  });
}

describe('server-sent events', () => {
  it.each([1, 2, 3, 7, 1000])('are whole however they are cut, %i bytes at a time', async (size) => {
    const found: ServerEvent[] = [];
    for await (const each of eventsOf(body(new TextEncoder().encode(SENT), size))) found.push(each);
    expect(found).toEqual(MEANT);
  });
  it('one that was cut off on the way is no event', () => {
    expect(new EventParser().push('event: step\ndata: {"a": 1')).toEqual([]);
  });
  it('leaving early lets the connection go', async () => {
    let gone = false;
    for await (const each of eventsOf(body(new TextEncoder().encode(SENT), 40, () => (gone = true)))) {
      expect(each.event).toBe('step');
      break;
    }
    expect(gone).toBe(true);
  });
});

describe('the client’s events', () => {
  const answer = (text: string): Response => new Response(text, { headers: { 'content-type': 'text/event-stream' } });
  it('are parsed as they come', async () => {
    const client = new Client({ fetch: (async () => answer(SENT.replace('one\ndata: two', '{"b": 2}'))) as typeof fetch });
    const found: unknown[] = [];
    for await (const each of client.events('/api/x', {})) found.push(each);
    expect(found).toEqual([{ event: 'step', data: { a: 1 } }, { event: 'end', data: { b: 2 } }, { event: 'message', data: '↵ ·' }]);
  });
  it('an error on the way is the server’s one sentence', async () => {
    const client = new Client({ fetch: (async () => answer('event: step\ndata: 1\n\nevent: error\ndata: {"error": {"kind": "BadNumbers", "message": "NaN"}}\n\n')) as typeof fetch });
    const stream = client.events('/api/x', {});
    expect((await stream.next()).value).toEqual({ event: 'step', data: 1 });
    await expect(stream.next()).rejects.toEqual(new ApiError(500, 'BadNumbers', 'NaN'));
  });
});
