/** Talks to the server: one client id, the newest keystroke wins, a server that is away is waited for.
 *
 * `request` resolves with the answer, rejects with `ApiError` (the server said no, in one sentence) or with an
 * AbortError (the caller did). A lost connection, 502 and 503 are tried again until the caller aborts; `onAway` hears of it.
 */
import { eventsOf } from './events';
import type { ErrorAnswer, ErrorBody, Manifest, TraceRequest } from './types';

export class ApiError extends Error {
  override name = 'ApiError';
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
  ) {
    super(message);
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface ClientOptions {
  base?: string;
  fetch?: typeof fetch;
  /** waits so many milliseconds; rejects when the signal aborts */
  wait?: (ms: number, signal?: AbortSignal) => Promise<void>;
  onAway?: (away: boolean) => void;
}

const FIRST_WAIT = 400;
const LONGEST_WAIT = 8000;

export class Client {
  readonly id = freshId();
  private seq = 0;
  private typing: AbortController | null = null;
  private readonly base: string;
  private readonly fetch: typeof fetch;
  private readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
  private readonly onAway: (away: boolean) => void;

  constructor(options: ClientOptions = {}) {
    this.base = options.base ?? '';
    this.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.wait = options.wait ?? pause;
    this.onAway = options.onAway ?? (() => undefined);
  }

  async json<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    return (await (await this.request(path + search(query), { signal })).json()) as T;
  }

  async bytes(path: string, query: Query = {}, signal?: AbortSignal): Promise<ArrayBuffer> {
    return (await this.request(path + search(query), { signal })).arrayBuffer();
  }

  async post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    const answer = await this.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
    return (await answer.json()) as T;
  }

  /** What the server tells while it works: a POST answered with server-sent events, their data parsed. Aborting, or leaving
   * the loop, stops the work. An `error` event is thrown as `ApiError`. */
  async *events<T = unknown>(path: string, body: unknown, signal?: AbortSignal): AsyncGenerator<{ event: string; data: T }, void, undefined> {
    const answer = await this.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify(body),
      signal,
    });
    if (!answer.body) return;
    for await (const { event, data } of eventsOf(answer.body)) {
      const parsed = JSON.parse(data) as T & { error?: ErrorBody };
      if (event === 'error') throw new ApiError(500, parsed.error?.kind ?? 'Unexpected', parsed.error?.message ?? 'the server stopped.');
      yield { event, data: parsed };
    }
  }

  /** A trace of what was just typed. A later call drops this one: here, and at the server. */
  async typed(request: TraceRequest): Promise<Manifest> {
    this.typing?.abort();
    const own = (this.typing = new AbortController());
    return this.post<Manifest>('/api/traces', { ...request, client: this.id, seq: ++this.seq }, own.signal);
  }

  private async request(path: string, init: RequestInit): Promise<Response> {
    let away = false;
    for (let delay = FIRST_WAIT; ; delay = Math.min(delay * 2, LONGEST_WAIT)) {
      let answer: Response | null = null;
      try {
        answer = await this.fetch(this.base + path, init);
      } catch (error) {
        if (init.signal?.aborted || !(error instanceof TypeError)) throw error;
      }
      if (answer?.ok) {
        if (away) this.onAway(false);
        return answer;
      }
      if (answer && answer.status !== 502 && answer.status !== 503) {
        if (away) this.onAway(false);
        throw await refusal(answer);
      }
      // a busy server (503) is there: only one that does not answer at all is worth a banner
      if (!answer && !away) this.onAway((away = true));
      await this.wait(retryAfter(answer) ?? delay, init.signal ?? undefined);
    }
  }
}

export function search(query: Query): string {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return kept.length ? '?' + new URLSearchParams(kept.map(([key, value]) => [key, String(value)])).toString() : '';
}

/** A model's name in a path: its slashes stay, everything else is escaped. */
export function modelPath(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

async function refusal(answer: Response): Promise<ApiError> {
  let body: Partial<ErrorAnswer> = {};
  try {
    body = (await answer.json()) as Partial<ErrorAnswer>;
  } catch {
    // a proxy's own error page
  }
  const { kind = 'Unexpected', message = `the server answered ${answer.status}` } = body.error ?? {};
  return new ApiError(answer.status, kind, message);
}

function retryAfter(answer: Response | null): number | null {
  const seconds = Number(answer?.headers.get('retry-after') ?? NaN);
  return Number.isFinite(seconds) ? Math.min(seconds * 1000, LONGEST_WAIT) : null;
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new DOMException('aborted', 'AbortError'));
    };
    if (signal?.aborted) { reject(new DOMException("aborted", "AbortError")); return; }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

function freshId(): string {
  // randomUUID exists on https and loopback alone; a class on a plain LAN address has getRandomValues
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
