/** Where to look in a square of positions that is too large to be read: the part beside it, which cells it takes, and what
 * of it is fetched. Pure. */
import type { InterventionSpec } from '../../../protocol/types';

export interface Spot {
  query: number;
  key: number;
}

/** The magnified part: its first query and key, and how many. */
export interface Window {
  q: number;
  k: number;
  rows: number;
  cols: number;
}

export interface Size {
  rows: number;
  cols: number;
}

const clamp = (value: number, most: number): number => Math.max(0, Math.min(most, value));

/** The part with this cell in its middle, as far as the square reaches. */
export function around({ query, key }: Spot, { rows, cols }: Size, n: number): Window {
  return inside({ q: query - (rows >> 1), k: key - (cols >> 1), rows, cols }, n);
}

export function moved(window: Window, rows: number, cols: number, n: number): Window {
  return inside({ ...window, q: window.q + rows, k: window.k + cols }, n);
}

export function inside({ q, k, rows, cols }: Window, n: number): Window {
  return { q: clamp(q, Math.max(0, n - rows)), k: clamp(k, Math.max(0, n - cols)), rows: Math.min(rows, n), cols: Math.min(cols, n) };
}

export function holds({ q, k, rows, cols }: Window, { query, key }: Spot): boolean {
  return query >= q && query < q + rows && key >= k && key < k + cols;
}

/** Elements along a side of what is fetched around a part: it may move some way before more is needed. */
export const FETCHED = 64;
const STEP = 16;

/** Where the fetched part starts that holds these. */
export function startOf(first: number, length: number): number {
  return Math.max(0, Math.floor((first - (FETCHED - length) / 2) / STEP) * STEP);
}

const MOST_ROWS = 32;
const MOST_NUMBERS = 32_768;

/** The rows that are fetched with a query's: few of long ones. */
export function rowsWith(query: number, n: number, sites: number): { from: number; rows: number } {
  const fitting = Math.max(1, Math.min(MOST_ROWS, Math.floor(MOST_NUMBERS / (n * sites))));
  const rows = 2 ** Math.floor(Math.log2(fitting));
  return { from: Math.floor(query / rows) * rows, rows };
}

/** Cells of a picture's side: all n where each has a device pixel and they are not too many, else one a CSS pixel. */
export function binsOf(n: number, side: number, ratio: number): number {
  return n <= Math.min(side * ratio, MOST_WHOLE) ? n : Math.max(1, Math.floor(side));
}

/** no square of more is held whole: 3 MB */
const MOST_WHOLE = 860;

export type Masked = (query: number, key: number) => boolean;

/** What the model's own mask rules out: keys that come later and, in some models, those before a window. */
export function maskOf(config: { sliding_window: number | null }, start: number): Masked {
  const { sliding_window: window } = config;
  return (row, key) => {
    const query = start + row;
    return key > query || (window !== null && key <= query - window);
  };
}

/** Whether a change acts on the scores of a block after the mask, so that they alone say what is ruled out. */
export function actsOnScores(changes: readonly InterventionSpec[], block: number): boolean {
  const name = `blocks.${block}.attn.attn_scores`;
  return changes.some(({ site }) => {
    const pattern = site.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${pattern.join('.*')}$`).test(name);
  });
}

/** Round numbers along an axis of `n` places, at most `most` of them besides 0. */
export function ticksOf(n: number, most: number): number[] {
  const rough = n / Math.max(1, most);
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough) ?? 10 * unit;
  const found: number[] = [];
  for (let at = 0; at < n; at += step) found.push(at);
  return found;
}
