/** Geometry and painting of the slats: for each block and token the stream's stripe, and what was added to it. Pure. */
import type { ColourScale, Rgb } from '../../charts/scales';
import type { FullPalette } from '../../charts/palette.svelte';
import { paintRows, takesPictures } from '../../charts/raster';

/** A ratio as the height of its bar: a square root, so that 1% is still seen; full at 1. */
export function barHeight(ratio: number, full: number): number {
  return Number.isFinite(ratio) ? Math.sqrt(Math.min(1, Math.max(0, ratio))) * full : 0;
}

export const BAR = 7;
export const SPINE = 4;

/** Blocks `from` to `to`, one beside another, over all positions. */
export interface Picture {
  from: number;
  to: number;
  /** rows that are drawn, and so many columns of the ratios */
  rows: number;
  pitch: number;
  rowHeight: number;
  /** of each block: the stream's reduced values [row, bin], and the colours of its range; null where there are none */
  stripes: readonly ({ data: Float32Array; bins: number; scale: ColourScale } | null)[];
  /** what attention and MLP add, as a share of the stream, [block, row] over all blocks */
  attn: ArrayLike<number>;
  mlp: ArrayLike<number>;
}

/** How many cells a slat's stripe has: one for each of its pixels, or one for each value. */
export function cellsOf(picture: Picture): number {
  const bins = Math.min(...picture.stripes.map((each) => each?.bins ?? Infinity));
  return Math.min(Number.isFinite(bins) ? bins : 1, Math.max(1, Math.floor(picture.pitch)));
}

/** The value in cell `i` of `n`: a slat narrower than its stripe shows the largest of each bin again. */
export function cellValue(data: ArrayLike<number>, bins: number, row: number, i: number, n: number): number {
  const start = row * bins;
  const to = Math.floor(((i + 1) * bins) / n);
  let value = 0;
  for (let j = Math.floor((i * bins) / n); j < to; j++) {
    const other = data[start + j] ?? 0;
    if (Math.abs(other) > Math.abs(value)) value = other;
  }
  return value;
}

export function paintSlats(ctx: CanvasRenderingContext2D, picture: Picture, colours: FullPalette): void {
  const { from, to, rows, pitch, rowHeight, stripes } = picture;
  const width = (to - from) * pitch;
  ctx.clearRect(0, 0, width, rows * rowHeight);
  const n = cellsOf(picture);
  const middle = (rowHeight - SPINE) / 2;
  const colour = (row: number, col: number): Rgb | null => {
    const own = stripes[Math.floor(col / n)];
    return own ? own.scale.rgb(cellValue(own.data, own.bins, row, col % n, n)) : null;
  };
  if (takesPictures(ctx)) {
    paintRows(ctx, rows, (to - from) * n, colour, (row) => ({ x: 0, y: row * rowHeight + middle, width, height: SPINE }));
  } else {
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < (to - from) * n; col++) {
        const found = colour(row, col);
        if (!found) continue;
        ctx.fillStyle = `rgb(${found.join(', ')})`;
        ctx.fillRect((col * pitch) / n, row * rowHeight + middle, pitch / n, SPINE);
      }
    }
  }
  paintStems(ctx, picture, colours);
}

/** Stems, not blocks: the stream stays the strongest line, and rows keep apart. One colour after the other. */
function paintStems(ctx: CanvasRenderingContext2D, picture: Picture, colours: FullPalette): void {
  const { from, to, rows, pitch, rowHeight, attn, mlp, stripes } = picture;
  const stem = Math.max(3, Math.round((pitch - (pitch > 10 ? 3 : 2)) * 0.55));
  const over: [number, number][] = [];
  for (const [ratios, up] of [[attn, true], [mlp, false]] as const) {
    ctx.fillStyle = up ? colours.attention : colours.mlp;
    for (let block = from; block < to; block++) {
      if (!stripes[block - from]) continue;
      const left = (block - from) * pitch + Math.round((pitch - stem) / 2);
      for (let row = 0; row < rows; row++) {
        const ratio = ratios[block * rows + row] ?? NaN;
        const spine = row * rowHeight + (rowHeight - SPINE) / 2;
        const height = barHeight(ratio, BAR);
        if (height) ctx.fillRect(left, up ? spine - height : spine + SPINE, stem, height);
        if (ratio > 1) over.push([left + stem / 2 - 1, up ? spine - BAR : spine + SPINE + BAR - 2]);
      }
    }
  }
  // more than the whole stream: a notch, as in every scale
  ctx.fillStyle = colours.ground;
  for (const [x, y] of over) ctx.fillRect(x, y, 2, 2);
}

/** How wide slats are when `n` share `width`: 8 to 24 px, whole pixels. */
export function slatWidth(n: number, width: number): number {
  return Math.max(8, Math.min(24, Math.floor(width / Math.max(1, n))));
}
