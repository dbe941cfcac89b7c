/** Reads a stream of server-sent events out of an answer's body: over `fetch`, so that it can be a POST and be stopped.
 *
 * The parts of the format that the server uses: `event`, `data` (its lines joined), comments; a blank line ends an event. A last
 * event without its blank line was cut off on the way and is dropped, as the standard says.
 */

export interface ServerEvent {
  event: string;
  data: string;
}

/** Takes text as it arrives; gives the events that are whole. */
export class EventParser {
  private rest = '';
  private event = '';
  private data: string[] = [];

  push(text: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    // a line end may be split between two pieces of text: a lone \r waits for what follows
    const lines = (this.rest + text).split(/\r\n|\n|\r(?=[^])/);
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (this.data.length) found.push({ event: this.event || 'message', data: this.data.join('\n') });
        [this.event, this.data] = ['', []];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') this.event = value;
      else if (field === 'data') this.data.push(value);
    }
    return found;
  }
}

/** The events of a body, as they come. Leaving the loop early lets the connection go. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
