/** The session with the server: which models there are, the one in use, and the trace of the newest text.
 *
 * `trace` keeps its last good value while a newer one is on its way or has failed, so that a picture never goes blank.
 */
import { ApiError, Client, isAbort, modelPath } from '../protocol/client';
import type { ModelAnswer, ModelEntry, ModelList } from '../protocol/types';
import { Trace } from '../trace/trace';

export class Session {
  trace = $state.raw<Trace | null>(null);
  model = $state.raw<ModelAnswer | null>(null);
  models = $state.raw<ModelEntry[]>([]);
  /** one sentence to show, or null */
  error = $state<string | null>(null);
  busy = $state(false);
  /** the server does not answer; what was asked is asked again until it does */
  away = $state(false);
  private readonly client: Client;
  private byName = new Map<string, Promise<ModelAnswer>>();
  private list: Promise<ModelList> | null = null;
  private newest = 0;

  constructor(client?: Client) {
    this.client = client ?? new Client({ onAway: (away) => (this.away = away) });
  }

  async ask(text: string, model: string | null): Promise<void> {
    const turn = ++this.newest;
    this.busy = true;
    try {
      const name = model ?? (await this.known()).default;
      if (!text) {
        const answer = await this.describe(name);
        if (turn === this.newest) {
          this.model = answer;
          this.trace = null;
          this.error = null;
        }
        return;
      }
      const [answer, manifest] = await Promise.all([this.describe(name), this.client.typed({ model: name, text })]);
      if (turn !== this.newest) return;
      this.model = answer;
      this.trace = new Trace(manifest, answer, this.client);
      this.error = null;
    } catch (error) {
      const superseded = isAbort(error) || (error instanceof ApiError && error.status === 409);
      if (turn === this.newest && !superseded) this.error = sentence(error);
    } finally {
      if (turn === this.newest) this.busy = false;
    }
  }

  private async known(): Promise<ModelList> {
    const list = await (this.list ??= this.client.json<ModelList>('/api/models'));
    this.models = list.models;
    return list;
  }

  private describe(name: string): Promise<ModelAnswer> {
    let answer = this.byName.get(name);
    if (!answer) {
      answer = this.client.json<ModelAnswer>(`/api/models/${modelPath(name)}`);
      this.byName.set(name, answer);
      answer.catch(() => this.byName.delete(name));
    }
    return answer;
  }
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : 'Something went wrong in the page; load it again.';
}
