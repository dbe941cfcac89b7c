/** Which cells are lit: the sources of the number that is pointed at or pinned, wherever a picture draws them. */
import type { ExplainAnswer } from '../protocol/types';

export class Lit {
  private cells = $state.raw<ReadonlyMap<string, ReadonlySet<string>>>(new Map());

  of(site: string): ReadonlySet<string> | null {
    return this.cells.get(site) ?? null;
  }

  clear(): void {
    if (this.cells.size) this.cells = new Map();
  }

  /** Lights the inputs of an explained number. */
  light(answer: ExplainAnswer): void {
    const cells = new Map<string, ReadonlySet<string>>();
    for (const input of answer.inputs) {
      const keys = new Set(cells.get(input.name));
      for (const index of every(input.index)) keys.add(index.join(','));
      cells.set(input.name, keys);
    }
    this.cells = cells;
  }
}

/** Every combination: [[5], [2], [0, 1]] -> [5, 2, 0], [5, 2, 1]. Row-major, as `values` of an input. */
export function every(index: readonly (readonly number[])[]): number[][] {
  return index.reduce<number[][]>((all, axis) => all.flatMap((head) => axis.map((i) => [...head, i])), [[]]);
}
