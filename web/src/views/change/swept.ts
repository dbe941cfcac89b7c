/** Which places of a long text a sweep tries. Each is a run of its own, from the place to the end of the text, so there is no
 * trying all of a thousand: a range is tried, near the end a longer one than near the beginning. Pure. */
import { readOne, withOne } from '../stages/attention/attention';
import type { Row } from './align';

/** rows that the server runs for one layer (`MOST_SWEPT`, server/routes_find.py) */
export const MOST_ROWS = 8192;
/** positions up to which it runs several texts together, each from its beginning (`TOGETHER`, analysis/patching.py) */
const TOGETHER = 256;
/** rows of the picture */
const MOST_PLACES = 64;
/** how many are tried where nobody has said */
const USUAL = 32;
const SWEPT = 'swept-';

export interface Range {
  /** the first place, and the one after the last */
  from: number;
  to: number;
}

export function rowsOf(n: number, { from, to }: Range): number {
  return n <= TOGETHER ? (to - from) * n : ((2 * n - from - to + 1) * (to - from)) / 2;
}

export function fitsWhole(n: number): boolean {
  return n <= TOGETHER && rowsOf(n, { from: 0, to: n }) <= MOST_ROWS;
}

/** As much of it as can be tried, and at least one place. */
export function fitted(n: number, { from, to }: Range): Range {
  const first = Math.max(0, Math.min(n - 1, from));
  let last = Math.max(first + 1, Math.min(n, to, first + MOST_PLACES));
  while (last > first + 1 && rowsOf(n, { from: first, to: last }) > MOST_ROWS) last--;
  return { from: first, to: last };
}

/** What the address says, or the end of the text, where everything comes together. */
export function rangeOf(switches: readonly string[], n: number): Range {
  if (fitsWhole(n)) return { from: 0, to: n };
  const [from, to] = (readOne(switches, SWEPT) ?? '').split('-').map(Number);
  const said = from !== undefined && to !== undefined && Number.isInteger(from) && Number.isInteger(to);
  return fitted(n, said ? { from, to: to + 1 } : { from: n - USUAL, to: n });
}

export function withRange(switches: readonly string[], { from, to }: Range): string[] {
  return withOne(switches, SWEPT, `${from}-${to - 1}`);
}

/** The range that begins at a place. */
export function startingAt(n: number, from: number): Range {
  return fitted(n, { from, to: from + USUAL });
}

/** Where the first sentence first has another piece than the second, or one more. */
export function firstOther(rows: readonly Row[]): number | null {
  return rows.find((row) => row.a !== null && !row.same)?.a ?? null;
}
