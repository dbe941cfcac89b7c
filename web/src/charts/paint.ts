/** Painting a matrix of cells, and the marks over it. Pure: a 2-D context and numbers. */
import { paintRows, takesPictures } from './raster';
import type { ColourScale, Palette } from './scales';

export interface Geometry {
  rows: number;
  cols: number;
  /** CSS pixels */
  width: number;
  rowHeight: number;
  /** space above and below the cells of a row */
  inset: number;
}

export interface Look {
  scale: ColourScale;
  palette: Palette;
  /** a column that is set aside: hatched, its value told by a number or on hover */
  aside?: number | null;
  /** cells that the mask rules out, whatever their value */
  masked?: ((row: number, col: number) => boolean) | null;
}

const WIDE_ENOUGH_FOR_A_GAP = 6;
const ROOM_FOR_A_NUMBER = 20;

export function cellBox(g: Geometry, row: number, col: number): { x: number; y: number; width: number; height: number } {
  const pitch = g.width / g.cols;
  const gap = pitch >= WIDE_ENOUGH_FOR_A_GAP ? 1 : 0;
  return { x: col * pitch, y: row * g.rowHeight + g.inset, width: pitch - gap, height: g.rowHeight - 2 * g.inset };
}

export function cellUnder(g: Geometry, x: number, y: number): { row: number; col: number } | null {
  const row = Math.floor(y / g.rowHeight);
  const col = Math.floor((x / g.width) * g.cols);
  return row >= 0 && row < g.rows && col >= 0 && col < g.cols ? { row, col } : null;
}

/** −∞ is a masked cell, hatched; NaN a missing one, an outline. Beyond the scale's bound: saturated, with a notch. */
export function paintMatrix(ctx: CanvasRenderingContext2D, g: Geometry, data: ArrayLike<number>, look: Look): void {
  const { scale, palette, masked } = look;
  ctx.clearRect(0, 0, g.width, g.rows * g.rowHeight);
  // cells that touch each other are a picture; those with gaps, and all that is no plain value, are drawn one by one
  const touching = takesPictures(ctx) && g.width / g.cols < WIDE_ENOUGH_FOR_A_GAP;
  const plain = (row: number, col: number): number | null => {
    const value = data[row * g.cols + col] ?? NaN;
    return Number.isNaN(value) || value === -Infinity || col === look.aside || masked?.(row, col) === true ? null : value;
  };
  if (touching) {
    paintRows(ctx, g.rows, g.cols, (row, col) => {
      const value = plain(row, col);
      return value === null ? null : scale.rgb(value);
    }, (row) => ({ x: 0, y: row * g.rowHeight + g.inset, width: g.width, height: g.rowHeight - 2 * g.inset }));
  }
  const notches: [x: number, y: number, width: number, up: boolean][] = [];
  const tall = g.rowHeight - 2 * g.inset;
  const ruled: Run[] = [];
  for (let row = 0; row < g.rows; row++) {
    for (let col = 0; col < g.cols; col++) {
      const value = data[row * g.cols + col] ?? NaN;
      if (touching && plain(row, col) !== null) {
        if (tall >= 6 && scale.beyond(value)) {
          const { x, y, width } = cellBox(g, row, col);
          notches.push([x, y, width, value > 0]);
        }
        continue;
      }
      const { x, y, width, height } = cellBox(g, row, col);
      if (Number.isNaN(value)) {
        ctx.strokeStyle = palette.muted;
        ctx.lineWidth = 1;
        ctx.strokeRect(x + 0.5, y + 0.5, Math.max(0, width - 1), Math.max(0, height - 1));
        continue;
      }
      const ruledOut = value === -Infinity || masked?.(row, col) === true;
      if (ruledOut || col === look.aside) {
        if (touching) {
          const last = ruled.at(-1);
          if (last?.y === y && last.end === col) last.end = col + 1;
          else ruled.push({ y, from: col, end: col + 1 });
          continue;
        }
        hatch(ctx, x, y, width, height, palette.rule);
        // what is set aside is still told, in numbers
        if (!ruledOut && scale.kind === 'share' && width >= ROOM_FOR_A_NUMBER) {
          ctx.fillStyle = palette.muted;
          ctx.font = '12px ui-monospace, "DejaVu Sans Mono", monospace';
          ctx.textAlign = 'center';
          ctx.textBaseline = 'middle';
          ctx.fillText(String(Math.round(value * 100)), x + width / 2, y + height / 2 + 1);
        }
        continue;
      }
      ctx.fillStyle = scale.css(value);
      ctx.fillRect(x, y, width, height);
      if (scale.beyond(value) && height >= 6) notches.push([x, y, width, value > 0]);
    }
  }
  hatchRuns(ctx, g, ruled, palette.rule);
  bite(ctx, notches, tall, palette.ground);
}

/** Hatched cells of one row that touch each other: columns `from` to `end`. */
interface Run {
  y: number;
  from: number;
  end: number;
}

/** One clip and one path for all of them: half a million masked cells, each with its own, would cost seconds. */
function hatchRuns(ctx: CanvasRenderingContext2D, g: Geometry, runs: readonly Run[], colour: string): void {
  if (!runs.length) return;
  const pitch = g.width / g.cols;
  ctx.save();
  ctx.beginPath();
  for (const { y, from, end } of runs) ctx.rect(from * pitch, y, (end - from) * pitch, g.rowHeight - 2 * g.inset);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1;
  ctx.beginPath();
  const height = g.rows * g.rowHeight;
  for (let at = -Math.ceil(height / 5) * 5; at < g.width; at += 5) {
    ctx.moveTo(at, 0);
    ctx.lineTo(at + height, height);
  }
  ctx.stroke();
  ctx.restore();
}

/** Bites out of the edge that a value points past: the top for a positive one. */
function bite(ctx: CanvasRenderingContext2D, notches: readonly [x: number, y: number, width: number, up: boolean][], height: number, ground: string): void {
  if (!notches.length) return;
  const size = Math.min(3, height / 4);
  ctx.fillStyle = ground;
  ctx.beginPath();
  for (const [x, y, width, up] of notches) {
    const middle = x + width / 2;
    const half = Math.max(0.5, Math.min(width / 2, size));
    const edge = up ? y : y + height;
    ctx.moveTo(middle - half, edge);
    ctx.lineTo(middle + half, edge);
    ctx.lineTo(middle, up ? y + size : y + height - size);
  }
  ctx.fill();
}

function hatch(ctx: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, colour: string): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, width, height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1;
  ctx.beginPath();
  // lines stand on one lattice for the whole picture, so that neighbours join
  const from = Math.floor((x - y - height) / 5) * 5;
  for (let at = from; at < x + width - y; at += 5) {
    ctx.moveTo(at + y, y);
    ctx.lineTo(at + y + height, y + height);
  }
  ctx.stroke();
  ctx.restore();
}

export function outline(
  ctx: CanvasRenderingContext2D, g: Geometry, row: number, col: number, colour: string, weight = 2,
): void {
  const box = cellBox(g, row, col);
  if (box.width < 4) {
    // an outline would cover a narrow cell: lines above and below leave its colour to be seen
    ctx.fillStyle = colour;
    ctx.fillRect(box.x, box.y - 2, Math.max(1, box.width), weight);
    ctx.fillRect(box.x, box.y + box.height + 2 - weight, Math.max(1, box.width), weight);
    return;
  }
  ctx.strokeStyle = colour;
  ctx.lineWidth = weight;
  ctx.strokeRect(box.x + 0.5, box.y - 0.5, box.width, box.height + 1);
}

/** Sizes a canvas for the screen and gives its context in CSS pixels. */
export function sharp(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = Math.min(3, globalThis.devicePixelRatio || 1);
  const w = Math.max(1, Math.round(width * ratio));
  const h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const ctx = canvas.getContext('2d');
  ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
  return ctx;
}

/** How to paint a canvas once more, on another context of the same CSS pixels: for taking the picture away. */
export type Painter = (ctx: CanvasRenderingContext2D) => void;

const painters = new WeakMap<HTMLCanvasElement, Painter>();

export function repaintable(canvas: HTMLCanvasElement, paint: Painter): void {
  painters.set(canvas, paint);
}

export function painterOf(canvas: HTMLCanvasElement): Painter | null {
  return painters.get(canvas) ?? null;
}
