/** Geometry and painting of the slats: for each block and token the stream's stripe, and what was added to it. Pure. */
import type { ColourScale } from '../../charts/scales';
import type { FullPalette } from '../../charts/palette.svelte';

export interface SlatLayout {
  /** the slat's width without its gap */
  slat: number;
  pitch: number;
  rowHeight: number;
}

/** A ratio as the height of its bar: a square root, so that 1% is still seen; full at 1. */
export function barHeight(ratio: number, full: number): number {
  return Number.isFinite(ratio) ? Math.sqrt(Math.min(1, Math.max(0, ratio))) * full : 0;
}

export const BAR = 7;
export const SPINE = 4;

export interface SlatRow {
  /** the stream's reduced values */
  stripe: ArrayLike<number>;
  attn: number;
  mlp: number;
}

export function paintSlat(
  ctx: CanvasRenderingContext2D, x: number, y: number, layout: SlatLayout, row: SlatRow, scale: ColourScale, colours: FullPalette,
): void {
  const { slat, rowHeight } = layout;
  const spine = y + (rowHeight - SPINE) / 2;
  const n = Math.min(row.stripe.length, Math.max(1, Math.floor(layout.pitch)));
  // a slat narrower than its stripe shows the largest of each bin again
  for (let i = 0; i < n; i++) {
    const from = Math.floor((i * row.stripe.length) / n);
    const to = Math.floor(((i + 1) * row.stripe.length) / n);
    let value = row.stripe[from] ?? 0;
    for (let j = from + 1; j < to; j++) if (Math.abs(row.stripe[j] ?? 0) > Math.abs(value)) value = row.stripe[j] ?? 0;
    ctx.fillStyle = scale.css(value);
    ctx.fillRect(x + (i * layout.pitch) / n, spine, layout.pitch / n + 0.25, SPINE);
  }
  // stems, not blocks: the stream stays the strongest line, and rows keep apart
  const stem = Math.max(3, Math.round(slat * 0.55));
  const left = x + Math.round((layout.pitch - stem) / 2);
  const up = barHeight(row.attn, BAR);
  ctx.fillStyle = colours.attention;
  ctx.fillRect(left, spine - up, stem, up);
  const down = barHeight(row.mlp, BAR);
  ctx.fillStyle = colours.mlp;
  ctx.fillRect(left, spine + SPINE, stem, down);
  // more than the whole stream: a notch, as in every scale
  ctx.fillStyle = colours.ground;
  if (row.attn > 1) ctx.fillRect(left + stem / 2 - 1, spine - BAR, 2, 2);
  if (row.mlp > 1) ctx.fillRect(left + stem / 2 - 1, spine + SPINE + BAR - 2, 2, 2);
}

/** How wide slats are when `n` share `width`: 8 to 24 px, whole pixels. */
export function slatWidth(n: number, width: number): number {
  return Math.max(8, Math.min(24, Math.floor(width / Math.max(1, n))));
}
