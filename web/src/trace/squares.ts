/** Squares of positions, scores and patterns, that are too large to hold: as many cells as a picture has room for, single
 * rows, and what lies around a cell.
 */
import type { SiteRange } from '../protocol/types';
import { matrix, type Tensor } from './tensor';
import type { Trace } from './trace';

/** Matrices of queries and keys of one head, by the full names of their sites. */
export interface HeadOf {
  readonly trace: Trace;
  readonly block: number;
  readonly head: number;
  readonly sites: readonly string[];
}

/** A matrix of n × n, with at most so many cells: each is one real element, the largest of its bin. */
export interface Square {
  readonly site: string;
  /** of the matrix itself */
  readonly n: number;
  readonly rows: number;
  readonly cols: number;
  readonly data: Float32Array;
  /** [row, col, 2]: query and key; null where every element came */
  readonly at: Int32Array | null;
  /** the first key that is in it: 1 where key 0 was set aside */
  readonly from: number;
  readonly range: SiteRange;
}

/** Query and key of a cell. */
export function elementOf({ at, cols, from }: Square, row: number, col: number): [number, number] {
  const place = 2 * (row * cols + col);
  return at ? [at[place] ?? row, at[place + 1] ?? col] : [row, col + from];
}

/** Elements that the fullest bin holds. */
export function perCell({ n, rows, cols, from }: Square): number {
  return Math.ceil(n / rows) * Math.ceil((n - from) / cols);
}

function squareOf(tensor: Tensor, n: number, aside: boolean): Square {
  const { rows, cols, data } = matrix(tensor);
  // cells of a matrix that came whole stand where they are
  return { site: tensor.name, n, rows, cols, data, at: tensor.at, from: aside && tensor.at ? 1 : 0, range: tensor.range };
}

/** The newest so many of what was asked, each asked once while it is among them. */
class Recent<T> {
  private readonly held = new Map<string, Promise<T>>();

  constructor(private readonly most: number) {}

  get(key: string): Promise<T> | undefined {
    const found = this.held.get(key);
    if (found) this.put(key, found);
    return found;
  }

  put(key: string, made: Promise<T>): void {
    this.held.delete(key);
    this.held.set(key, made);
    made.catch(() => this.held.get(key) === made && this.held.delete(key));
    for (const oldest of this.held.keys()) {
      if (this.held.size <= this.most) return;
      this.held.delete(oldest);
    }
  }
}

const PICTURES = 16;
const pictures = new WeakMap<Trace, Recent<Square>>();

/** Sites of a head with at most `bins` × `bins` cells; `aside`: without key 0 where they are reduced. One request for all
 * that are not at hand. */
export function squaresOf({ trace, head, sites }: HeadOf, bins: number, aside = false): Promise<Square[]> {
  const recent = pictures.get(trace) ?? new Recent<Square>(PICTURES);
  pictures.set(trace, recent);
  const n = trace.nPos;
  const reduced = n > bins;
  const key = (site: string): string => `${site} ${head} ${reduced ? `${bins} ${aside}` : ''}`;
  const missing = sites.filter((site) => !recent.get(key(site)));
  if (missing.length) {
    const selection = reduced ? { head, reduce: 'absmax', bins: `${bins}x${bins}`, ...(aside ? { skip_first: 'true' } : {}) } : { head };
    const asked = trace.passing(missing, selection);
    missing.forEach((site, i) => recent.put(key(site), asked.then((all) => squareOf(all[i] as Tensor, n, aside))));
  }
  return Promise.all(sites.map((site) => recent.get(key(site)) as Promise<Square>));
}

/** The largest of each row, [n]. */
export async function largestOfRows({ trace, head }: HeadOf, site: string): Promise<Float32Array> {
  const [tensor] = await trace.passing([site], { head, reduce: 'absmax', bins: `${trace.nPos}x1`, ranges: 'false' });
  return tensor?.data ?? new Float32Array();
}

/** Neighbouring queries with neighbouring keys, [query, key] for each site. */
export interface Part {
  readonly of: HeadOf;
  readonly q: number;
  readonly k: number;
  readonly rows: number;
  readonly cols: number;
  readonly data: readonly Float32Array[];
}

/** Queries from `q` and keys from `k` on; without keys: all. */
export async function partOf(of: HeadOf, q: number, rows: number, keys: { k: number; cols: number } = { k: 0, cols: of.trace.nPos }): Promise<Part> {
  const n = of.trace.nPos;
  const [endQ, endK] = [Math.min(n, q + rows), Math.min(n, keys.k + keys.cols)];
  const all = keys.k === 0 && endK === n;
  const found = await of.trace.passing(of.sites, { head: of.head, q_pos: `${q}:${endQ}`, ...(all ? {} : { k_pos: `${keys.k}:${endK}` }), ranges: 'false' });
  return { of, q, k: keys.k, rows: endQ - q, cols: endK - keys.k, data: found.map((tensor) => tensor.data) };
}

/** `rows` × `cols` of a part, from query `q` and key `k` on. */
export function cutOf(part: Part, q: number, k: number, rows: number, cols: number): Part {
  const data = part.data.map((from) => {
    const out = new Float32Array(rows * cols);
    for (let row = 0; row < rows; row++) {
      const start = (q + row - part.q) * part.cols + k - part.k;
      out.set(from.subarray(start, start + cols), row * cols);
    }
    return out;
  });
  return { of: part.of, q, k, rows, cols, data };
}
