/** A patching sweep: for every layer and position, this sentence runs with that one place set to the other sentence's. The
 * rows come as the server has them; stopping keeps those that are there. */
import type { Client } from '../../protocol/client';
import { isAbort } from '../../protocol/client';
import { sentence } from '../../state/session.svelte';
import type { SweepRequest, SweepRow, SweepStart } from '../../protocol/types';
import type { Patched } from './kinds';

export type SweepAsked = SweepRequest & { site: Patched };

export class Sweep {
  running = $state(false);
  start = $state.raw<SweepStart | null>(null);
  /** by layer: one value a position, null where there is none */
  rows = $state.raw<ReadonlyMap<number, (number | null)[]>>(new Map());
  done = $state(false);
  failed = $state('');
  private own: AbortController | null = null;

  constructor(readonly asked: SweepAsked) {}

  get share(): number {
    return this.start ? this.rows.size / this.start.n_layer : 0;
  }

  async run(client: Client): Promise<void> {
    this.stop();
    const own = (this.own = new AbortController());
    this.running = true;
    this.done = false;
    this.failed = '';
    this.rows = new Map();
    try {
      for await (const { event, data } of client.events('/api/sweeps', this.asked, own.signal)) {
        if (own.signal.aborted) return;
        if (event === 'start') this.start = data as SweepStart;
        else if (event === 'row') {
          const { layer, values } = data as SweepRow;
          this.rows = new Map(this.rows).set(layer, values);
        } else if (event === 'end') this.done = true;
      }
    } catch (error) {
      if (!isAbort(error) && this.own === own) this.failed = sentence(error);
    } finally {
      if (this.own === own) this.running = false;
    }
  }

  stop(): void {
    this.own?.abort();
    this.own = null;
    this.running = false;
  }
}

const MOST = 6;
const kept = new Map<string, Sweep>();

/** The sweep of this question: the one that has run, or a new one that has not. */
export function sweepOf(asked: SweepAsked): Sweep {
  const key = JSON.stringify(asked);
  let sweep = kept.get(key);
  if (!sweep) {
    kept.set(key, (sweep = new Sweep(asked)));
    const [oldest] = kept.keys();
    if (kept.size > MOST && oldest !== undefined) {
      kept.get(oldest)?.stop();
      kept.delete(oldest);
    }
  }
  return sweep;
}
