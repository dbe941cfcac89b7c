/** Where the film's pictures stand: pieces at the left, the stream beside them, a product at work in the middle (A to the
 * left of C, B above C), its sum at the right, or below on a narrow screen. Pure.
 */
import { cut } from '../../views/stages/attention/attention';
import type { Box, Placement } from './frame';
import type { Material } from './material';

export interface Geometry {
  width: number;
  height: number;
  wide: boolean;
  /** rows of pieces */
  n: number;
  rowHeight: number;
  /** the first row's top */
  top: number;
  /** the last row's bottom */
  bottom: number;
  /** right edge of the pieces */
  pieces: number;
  /** characters that a piece may take */
  letters: number;
  stream: Placement;
  /** A, and the first C */
  a: Placement;
  c: (place: number) => Placement;
  /** the shared axis of a product */
  vector: number;
  gap: number;
  /** the square of queries and keys */
  square: Placement;
  /** where a sum is written */
  sum: Box;
  middle: (row: number) => number;
}

export const ROW = 20;
export const LINE = 18;
const SUM_LINES = 12;
const WIDE = 640;
/** room for the candidates and the draw */
const LEAST = 334;

export function geometryOf(material: Pick<Material, 'pieces' | 'config'>, width: number): Geometry {
  const n = material.pieces.length;
  const wide = width >= WIDE;
  const gap = wide ? 16 : 8;
  const pieces = wide ? 84 : 58;
  const { d_head } = material.config;
  // whole pixels for each number of a head, where there are enough
  const vector = wide ? Math.min(96, d_head * Math.max(1, Math.round(72 / d_head))) : 44;
  const streamWidth = wide ? 128 : 36;
  const top = 34 + vector + 8;
  const bottom = top + n * ROW;
  const left = pieces + 8 + streamWidth + (wide ? 32 : 8);
  const row = { y: top, height: n * ROW };
  const c = (place: number): Placement => ({ ...row, x: left + vector + gap + place * (vector + gap), width: vector });
  const sumWidth = wide ? 250 : width;
  const sumBox: Box = wide
    ? { x: width - sumWidth - 2, y: 34, width: sumWidth, height: SUM_LINES * LINE }
    : { x: 0, y: bottom + 34, width: sumWidth - 2, height: SUM_LINES * LINE };
  const room = (wide ? sumBox.x - 24 : width) - c(0).x;
  return {
    width, wide, n, rowHeight: ROW, top, bottom, pieces, letters: wide ? 10 : 7, vector, gap,
    height: (wide ? Math.max(bottom + 26, LEAST) : sumBox.y + sumBox.height) + 4,
    stream: { ...row, x: pieces + 8, width: streamWidth },
    a: { ...row, x: left, width: vector }, c,
    square: { ...row, x: c(0).x, width: Math.max(n, Math.min(n * ROW, Math.floor(room / n) * n)) },
    sum: sumBox,
    middle: (at) => top + (at + 0.5) * ROW,
  };
}

/** B: above a C, its shared axis as long as A is wide. */
export function above(g: Geometry, c: Box): Placement {
  return { x: c.x, y: g.top - 8 - g.vector, width: c.width, height: g.vector };
}

const ADVANCE = 0.602;

/** Width of mono text: known without a screen, so that a frame stays a function of its numbers. Wide letters take two. */
export function textWidth(text: string, size: number): number {
  let cells = 0;
  for (const letter of text) cells += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(letter) ? 2 : 1;
  return cells * ADVANCE * size;
}

export interface Placed {
  x: number;
  y: number;
  width: number;
}

/** The pieces as running text, `space` pixels between them; lines break between pieces. */
export function flow(texts: readonly string[], size: number, width: number, left: number, top: number, space = 0): Placed[] {
  let [x, y] = [left, top];
  return texts.map((text) => {
    const own = textWidth(text, size);
    if (x + own > width && x > left) [x, y] = [left, y + size * 2];
    const at = { x, y, width: own };
    x += own + space;
    return at;
  });
}

export function shortened(display: string, letters: number): string {
  return cut(display, letters);
}
