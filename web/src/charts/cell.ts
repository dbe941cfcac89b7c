/** What a picture says about one of its cells; charts hand it out, views pin and explain it. */

export interface Cell {
  site: string;
  index: number[];
  value: number;
  box: { left: number; top: number; width: number; height: number };
}

/** The test hook of a canvas: `element.__cutaway`. `indexAt` and `valueAt` take CSS pixels within the picture. */
export interface Hook {
  site: string;
  rows: number;
  cols: number;
  indexAt(x: number, y: number): number[] | null;
  valueAt(x: number, y: number): number | null;
  cell(row: number, col: number): { x: number; y: number; index: number[]; value: number };
}

export interface Hooked extends HTMLElement {
  __cutaway?: Hook;
}
