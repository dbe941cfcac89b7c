/** What the Models panel computes: sizes in words, areas in proportion, and where two ways of cutting a text meet. Pure; every
 * number that goes in is the server's. */
import { count, short } from '../../charts/format';
import type { ModelCosts, ParameterTableRow, TokenAnswer } from '../../protocol/types';

const BYTES = [[1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'KB']] as const;
const AMOUNTS = [[1e15, 'quadrillion'], [1e12, 'trillion'], [1e9, 'billion'], [1e6, 'million']] as const;

/** 92.9 MB: powers of 1,000, three digits. */
export function bytes(value: number): string {
  return inUnits(value, BYTES) ?? `${count(value)} bytes`;
}

/** 135 million; below a million, every digit. */
export function amount(value: number): string {
  return inUnits(value, AMOUNTS) ?? count(value);
}

function inUnits(value: number, units: readonly (readonly [number, string])[]): string | null {
  // what would be written 1,000 MB is 1.00 GB
  const at = units.findIndex(([unit]) => value >= unit * 0.9995);
  const found = units[at];
  return found ? `${short(value / found[0])} ${found[1]}` : null;
}

/** What a name such as "… (Q4_1)" says of how the weights are stored; '' where it says nothing. */
export function storedAs(name: string): string {
  const [, format, bits] = /\b((?:I?Q)(\d)_\w+)\b/.exec(name) ?? [];
  return format ? `${format}: each weight rounded to ${bits} bits` : '';
}

/** Eight lengths, evenly apart, up to the whole context. */
export function lengthsOf(context: number, steps = 8): number[] {
  return [...new Set(Array.from({ length: steps }, (_, i) => Math.max(1, Math.round((context * (i + 1)) / steps))))];
}

export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Room extends Area {
  part: string;
  row: ParameterTableRow;
}

/** The rows of a parameter table as areas: a part is a column (or, `across`, a band), its rows are cut out of it. Each area is in
 * proportion to its numbers; what has none of its own has no area. */
export function roomsOf(rows: readonly ParameterTableRow[], width: number, height: number, across = false): Room[] {
  const own = rows.filter((row) => row.total > 0);
  const all = sum(own.map((row) => row.total));
  const parts = [...new Set(own.map((row) => row.part))];
  const [long, wide] = across ? [height, width] : [width, height];
  const rooms: Room[] = [];
  let from = 0;
  for (const part of parts) {
    const inside = own.filter((row) => row.part === part);
    const total = sum(inside.map((row) => row.total));
    const length = (long * total) / all;
    let at = 0;
    for (const row of inside) {
      const depth = (wide * row.total) / total;
      rooms.push({ part, row, ...(across ? { x: at, y: from, width: depth, height: length } : { x: from, y: at, width: length, height: depth }) });
      at += depth;
    }
    from += length;
  }
  return rooms;
}

export interface Square {
  model: ModelCosts;
  /** of its side */
  side: number;
  /** its parts, from the bottom up: where each begins, and how high it is */
  bands: { part: string; y: number; height: number }[];
}

/** Models as squares of one scale: area is parameters, and the largest has side `most`. */
export function squaresOf(models: readonly ModelCosts[], most: number): Square[] {
  const largest = Math.max(...models.map((model) => model.total), 1);
  return models.map((model) => {
    const side = most * Math.sqrt(model.total / largest);
    let y = 0;
    const bands = Object.entries(model.parts).filter(([, total]) => total > 0).map(([part, total]) => {
      const height = (side * total) / model.total;
      y += height;
      return { part, y: y - height, height };
    });
    return { model, side, bands };
  });
}

/** A stretch of text that both ways of cutting begin and end together: the places of its pieces, and whether it is one in each. */
export interface Span {
  a: number[];
  b: number[];
  text: string;
  one: boolean;
}

/** The smallest stretches of two cuts of one text. Null: they don't spell the same bytes, so nothing can be set side by side. */
export function spansOf(a: readonly TokenAnswer[], b: readonly TokenAnswer[]): Span[] | null {
  const [ends, others] = [endsOf(a), endsOf(b)];
  if (spelled(a) !== spelled(b)) return null;
  const there = new Set(others);
  const shared = new Set(ends.filter((end) => end > 0 && there.has(end)));
  const [left, right] = [taking(ends), taking(others)];
  return [...shared].sort((x, y) => x - y).map((end) => {
    const [here, beside] = [left(end), right(end)];
    return { a: here, b: beside, text: here.map((i) => a[i]?.display ?? '').join(''), one: here.length === 1 && beside.length === 1 };
  });
}

/** Asked for one end after another: the pieces that end behind the one before, and no later. */
function taking(ends: readonly number[]): (to: number) => number[] {
  let [at, from] = [0, 0];
  return (to) => {
    const places: number[] = [];
    for (; (ends[at] ?? Infinity) <= to; at++) if ((ends[at] ?? 0) > from) places.push(at);
    from = to;
    return places;
  };
}

/** Where the other cut has a piece that ends where piece `at` of the first ends, or null. */
export function sameEnd(a: readonly TokenAnswer[], b: readonly TokenAnswer[], at: number): number | null {
  const end = endsOf(a)[at];
  if (end === undefined || spelled(a) !== spelled(b)) return null;
  const found = endsOf(b).lastIndexOf(end);
  return found < 0 ? null : found;
}

/** −ln p of a stretch: its pieces' together. Null where one of them was not predicted. */
export function surpriseOf(losses: readonly (number | null)[], places: readonly number[]): number | null {
  let all = 0;
  for (const place of places) {
    const loss = losses[place];
    if (loss === null || loss === undefined) return null;
    all += loss;
  }
  return all;
}

/** The byte after each piece. Special pieces spell nothing. */
function endsOf(tokens: readonly TokenAnswer[]): number[] {
  let at = 0;
  return tokens.map((token) => (at += token.special ? 0 : token.bytes.length / 2));
}

function spelled(tokens: readonly TokenAnswer[]): string {
  return tokens.map((token) => (token.special ? '' : token.bytes)).join('');
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
