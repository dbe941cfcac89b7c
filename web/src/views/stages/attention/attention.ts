/** What the attention stages compute for presentation: transposed pictures, softmax's max and sum, which cells are masked. Pure. */
import type { SliceSpec } from '../../../protocol/types';
import type { Pin } from '../../../state/address';

/** [query, key] as [key, query]. */
export function turned(data: ArrayLike<number>, n: number): Float32Array {
  const out = new Float32Array(n * n);
  for (let row = 0; row < n; row++) for (let col = 0; col < n; col++) out[col * n + row] = data[row * n + col] ?? NaN;
  return out;
}

/** [rows, cols] as [cols, rows]: a matrix that stands above the product that it makes. */
export function upright(data: ArrayLike<number>, rows: number, cols: number): Float32Array {
  const out = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) out[col * rows + row] = data[row * cols + col] ?? NaN;
  return out;
}

export interface SoftmaxParts {
  max: number;
  /** e^(score − max) */
  exps: number[];
  sum: number;
}

/** The cells of a row's softmax: its largest score, the exponentials, their sum. */
export function softmaxParts(scores: ArrayLike<number>): SoftmaxParts {
  let max = -Infinity;
  for (let i = 0; i < scores.length; i++) max = Math.max(max, scores[i] ?? -Infinity);
  const exps = Array.from({ length: scores.length }, (_, i) => Math.exp((scores[i] ?? -Infinity) - max));
  return { max, exps, sum: exps.reduce((sum, each) => sum + each, 0) };
}

/** The place of the largest value; `skip` is passed over. */
export function largest(values: ArrayLike<number>, skip = -1): number {
  let best = skip === 0 ? 1 : 0;
  for (let i = 0; i < values.length; i++) if (i !== skip && (values[i] ?? -Infinity) > (values[best] ?? -Infinity)) best = i;
  return best;
}

export function largestSize(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i] ?? 0) > Math.abs(values[best] ?? 0)) best = i;
  return best;
}

/** The keys of the table: all while they fit, else those with the largest shares, in their order. */
export function shownKeys(shares: ArrayLike<number>, most: number): number[] {
  const all = Array.from({ length: shares.length }, (_, i) => i);
  if (all.length <= most) return all;
  return all.sort((a, b) => (shares[b] ?? 0) - (shares[a] ?? 0) || a - b).slice(0, most).sort((a, b) => a - b);
}

const MANY = 40;

/** Width and height of a score's cell. Rows are 20 px, as everywhere; a long text gets small square cells. */
export function cellSize(n: number, space: number): { width: number; height: number } {
  const width = Math.max(1, Math.min(28, Math.floor(space / Math.max(1, n))));
  return { width, height: n <= MANY ? 20 : width };
}

/** Whether a square of so many cells needs the whole width, to be seen at all. */
export function needsWidth(n: number, space: number): boolean {
  return n > MANY && Math.floor(space / n) < 4;
}

/** Rows of vectors: 20 px, and lower for a long text. */
export function rowHeight(n: number): number {
  return n <= MANY ? 20 : Math.max(2, Math.floor((MANY * 20) / n));
}

/** Every how-manieth name can be read along cells of this size. */
export function readableStep(cell: number, line = 12): number {
  return Math.max(1, Math.ceil(line / Math.max(1, cell)));
}

/** At most so many characters, the last of them an ellipsis. */
export function cut(name: string, most: number): string {
  const letters = [...name];
  return letters.length > most ? `${letters.slice(0, Math.max(1, most - 1)).join('')}…` : name;
}

export function keyValueHead(head: number, config: { n_head: number; n_kv_head: number }): number {
  return Math.floor((head * config.n_kv_head) / config.n_head);
}

/** The keys that a query may not look at, by the model's own mask: where its score is −∞. */
export function maskedKeys(scores: ArrayLike<number>, n: number, query: number): number[] {
  const keys: number[] = [];
  for (let key = 0; key < n; key++) if (scores[query * n + key] === -Infinity) keys.push(key);
  return keys;
}

/** Neighbours as a range, which stays short on the wire. */
export function asSelection(keys: readonly number[]): number[] | SliceSpec {
  const [first] = keys;
  const last = keys.at(-1);
  if (first === undefined || last === undefined || last - first + 1 !== keys.length) return [...keys];
  return { start: first, stop: last + 1 };
}

/** The cell of a head's matrix that a pin or the pointer names, when it is in one of these sites. */
export function cellOf(at: Pin | null, sites: readonly string[], head: number): { query: number; key: number } | null {
  const [ownHead, query, key] = at?.index ?? [];
  if (!at || !sites.includes(at.site) || ownHead !== head || query === undefined || key === undefined) return null;
  return { query, key };
}

/** One of several switches that exclude each other ("at-2"), kept with the others in the address. */
export function withOne(switches: readonly string[], prefix: string, value: string | null): string[] {
  const rest = switches.filter((each) => !each.startsWith(prefix));
  return value === null ? rest : [...rest, prefix + value];
}

export function readOne(switches: readonly string[], prefix: string): string | null {
  return switches.find((each) => each.startsWith(prefix))?.slice(prefix.length) ?? null;
}

/** As wide as there is room, in whole pixels for each element where there are enough. */
export function stripeWidth(length: number, space: number): number {
  return length <= space ? length * Math.floor(space / length) : Math.max(64, Math.floor(space));
}
