/** Bringing a model to this machine: one at a time, with what has come so far; stopping closes the connection, and the server
 * stops. It goes on while the panel is closed. */
import { isAbort, type Client } from '../../protocol/client';
import type { PullEnd, PullProgress } from '../../protocol/types';
import { sentence } from '../../state/session.svelte';

export class Bring {
  /** the name of what is coming, or null */
  name = $state<string | null>(null);
  progress = $state.raw<PullProgress | null>(null);
  /** one sentence, or empty */
  failed = $state('');
  private own: AbortController | null = null;

  get share(): number | null {
    const { bytes = 0, total = null } = this.progress ?? {};
    return total ? Math.min(1, bytes / total) : null;
  }

  /** Gives the name that the model goes by once it is here; null if it did not come. */
  async start(client: Pick<Client, 'events'>, name: string): Promise<string | null> {
    this.stop();
    const own = (this.own = new AbortController());
    this.name = name;
    this.progress = null;
    this.failed = '';
    try {
      for await (const { event, data } of client.events('/api/models/pull', { name }, own.signal)) {
        if (own.signal.aborted) return null;
        if (event === 'progress') this.progress = data as PullProgress;
        else if (event === 'end') return (data as PullEnd).name;
      }
      this.failed = 'The server stopped before the model was here; ask again, and it goes on.';
    } catch (error) {
      if (!isAbort(error) && this.own === own) this.failed = sentence(error);
    } finally {
      if (this.own === own) this.name = null;
    }
    return null;
  }

  stop(): void {
    this.own?.abort();
    this.own = null;
    this.name = null;
  }
}

export const bring = new Bring();
