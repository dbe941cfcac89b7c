/** The best next token of each position, asked for as rows come into view: a few at a time, nearest first. */
import type { CandidateAnswer } from '../../../protocol/types';
import type { Trace } from '../../../trace/trace';

const AT_ONCE = 3;

export class Predictions {
  private readonly known = new Map<number, CandidateAnswer>();
  private queue: number[] = [];
  private running = 0;
  private stopped = false;

  constructor(
    private readonly trace: Pick<Trace, 'next'>,
    /** called with all that is known, after each answer */
    private readonly onmore: (known: ReadonlyMap<number, CandidateAnswer>) => void,
  ) {}

  /** The rows that are to be seen. What waited for rows that have left is dropped. */
  want(positions: readonly number[]): void {
    this.queue = positions.filter((position) => !this.known.has(position));
    this.pump();
  }

  stop(): void {
    this.stopped = true;
    this.queue = [];
  }

  private pump(): void {
    while (!this.stopped && this.running < AT_ONCE) {
      const position = this.queue.shift();
      if (position === undefined) return;
      this.running++;
      this.trace
        .next(position, 1)
        .then(
          (answer) => {
            const [best] = answer.candidates;
            if (!best || this.stopped) return;
            this.known.set(position, best);
            this.onmore(new Map(this.known));
          },
          () => undefined,
        )
        .finally(() => {
          this.running--;
          this.pump();
        });
    }
  }
}

/** The first and the last row of a scrolled list, and one screen on either side. */
export function rowsInView(top: number, height: number, rowHeight: number, n: number): number[] {
  const from = Math.max(0, Math.floor((top - height / 2) / rowHeight));
  const to = Math.min(n, Math.ceil((top + 1.5 * height) / rowHeight));
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}
