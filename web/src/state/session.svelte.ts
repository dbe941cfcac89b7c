/** The session with the server: which models there are, the one in use, and the trace of the newest text.
 *
 * `trace` keeps its last good value while a newer one is on its way or has failed, so that a picture never goes blank.
 * Where the address changes the run, `trace` is the changed one and `before` the same text unchanged; both come together.
 */
import { ApiError, Client, isAbort, modelPath } from '../protocol/client';
import type { InterventionSpec, Manifest, ModelAnswer, ModelEntry, ModelList, TraceRequest } from '../protocol/types';
import { LONG } from '../trace/rows';
import { Trace } from '../trace/trace';
import type { Change } from './changes';

export class Session {
  trace = $state.raw<Trace | null>(null);
  /** the unchanged run; null where nothing is changed */
  before = $state.raw<Trace | null>(null);
  model = $state.raw<ModelAnswer | null>(null);
  models = $state.raw<ModelEntry[]>([]);
  /** one sentence to show, or null */
  error = $state<string | null>(null);
  busy = $state(false);
  /** the server does not answer; what was asked is asked again until it does */
  away = $state(false);
  readonly client: Client;
  private byName = new Map<string, Promise<ModelAnswer>>();
  private list: Promise<ModelList> | null = null;
  private usual: string | null = null;
  private newest = 0;
  private changing: AbortController | null = null;

  constructor(client?: Client) {
    this.client = client ?? new Client({ onAway: (away) => (this.away = away) });
  }

  async ask(text: string, model: string | null, changes: readonly Change[] = [], ids: number[] | null = null): Promise<void> {
    const turn = ++this.newest;
    this.changing?.abort();
    this.busy = true;
    try {
      // once known, what is asked leaves in the same turn as the keystroke, before anything is drawn
      const name = model ?? this.usual ?? (await this.listed()).default;
      if (!text) {
        const answer = await this.describe(name);
        if (turn === this.newest) {
          this.model = answer;
          this.trace = this.before = null;
          this.error = null;
        }
        return;
      }
      const said = ids?.length ? { ids } : { text };
      let refused: string | null = null;
      const [answer, manifest, changed] = await Promise.all([
        this.describe(name),
        this.client.typed({ model: name, ...said }),
        this.change({ model: name, ...said }, changes).catch((error: unknown) => {
          // what cannot be changed so is said; the text runs as it is
          if (!(error instanceof ApiError)) throw error;
          refused = error.message;
          return null;
        }),
      ]);
      if (turn !== this.newest) return;
      const plain = this.known(manifest, answer);
      this.model = answer;
      this.trace = changed ? this.known(changed, answer, changes) : plain;
      // every view begins with the whole; who draws it says what fails. Of a long text it is not yet known which rows
      if (this.trace.nPos <= LONG) this.trace.overview().catch(() => undefined);
      this.before = changed ? plain : null;
      this.error = refused;
    } catch (error) {
      const superseded = isAbort(error) || (error instanceof ApiError && error.status === 409);
      if (turn === this.newest && !superseded) this.error = sentence(error);
    } finally {
      if (turn === this.newest) this.busy = false;
    }
  }

  private async change(request: TraceRequest, changes: readonly Change[]): Promise<Manifest | null> {
    if (!changes.length) return null;
    const own = (this.changing = new AbortController());
    return this.client.post<Manifest>('/api/traces', { ...request, interventions: changes }, own.signal);
  }

  /** The trace of a manifest: the one that is here already, with all that it has fetched, where it is the same run. */
  private known(manifest: Manifest, model: ModelAnswer, changes: readonly Change[] = []): Trace {
    const here = [this.trace, this.before].find((each) => each?.manifest.id === manifest.id && each.model === model);
    return here ?? new Trace(manifest, model, this.client, changes as InterventionSpec[]);
  }

  private async listed(): Promise<ModelList> {
    const list = await (this.list ??= this.client.json<ModelList>('/api/models'));
    this.models = list.models;
    this.usual = list.default;
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
