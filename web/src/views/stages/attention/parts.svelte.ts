/** What is fetched as it is looked at: one request at a time, the newest wish next, the last so many kept. */
import { sentence } from '../../../state/session.svelte';

export class Parts<T> {
  /** the oldest first */
  private readonly held = new Map<string, T>();
  private next: { key: string; ask: () => Promise<T> } | null = null;
  private asking = '';
  private arrived = $state(0);
  private last: T | null = null;
  /** one sentence, or empty */
  failed = $state('');

  constructor(private readonly most: number) {}

  /** What has this key, or null while it is not there. */
  get(key: string): T | null {
    void this.arrived;
    return this.held.get(key) ?? null;
  }

  /** What has this key; until it is there, what was given last. */
  latest(key: string | null): T | null {
    const found = key === null ? null : this.get(key);
    if (found) this.last = found;
    return this.last;
  }

  /** Asks for it, unless it is there or on its way; what was wished before and not begun is forgotten. */
  want(key: string, ask: () => Promise<T>): void {
    const found = this.held.get(key);
    this.next = null;
    if (found !== undefined) {
      this.held.delete(key);
      this.held.set(key, found);
    } else if (this.asking !== key) {
      this.next = { key, ask };
      if (!this.asking) void this.work();
    }
  }

  private async work(): Promise<void> {
    while (this.next) {
      const { key, ask } = this.next;
      this.next = null;
      this.asking = key;
      try {
        this.keep(key, await ask());
        this.failed = '';
      } catch (error) {
        this.failed = sentence(error);
      }
      this.asking = '';
    }
  }

  private keep(key: string, found: T): void {
    this.held.set(key, found);
    for (const oldest of this.held.keys()) {
      if (this.held.size <= this.most) break;
      this.held.delete(oldest);
    }
    nextFrame(() => this.arrived++);
  }
}

const waiting = new Set<() => void>();

/** What comes in one frame is shown in one. */
function nextFrame(show: () => void): void {
  if (!waiting.size) {
    const all = (): void => {
      const now = [...waiting];
      waiting.clear();
      for (const each of now) each();
    };
    // no frames are painted of a page that is not looked at
    if (document.hidden) queueMicrotask(all);
    else requestAnimationFrame(all);
  }
  waiting.add(show);
}

const numbers = new WeakMap<object, number>();
let given = 0;

/** A name for an object, for keys. */
export function numberOf(thing: object): number {
  const known = numbers.get(thing) ?? given++;
  numbers.set(thing, known);
  return known;
}
