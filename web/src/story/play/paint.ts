/** A frame on a canvas. Pure: a 2-D context, a frame, colours. */
import { interpolateRgb } from 'd3-interpolate';
import type { FullPalette } from '../../charts/palette.svelte';
import { shareScale, signedScale, type ColourScale } from '../../charts/scales';
import { cellPlace, cellShown, progressOf, type Box, type CellsMark, type Frame, type Ink, type Mark, type TextMark } from './frame';
import type { Sheet } from './sheet';

type Context = CanvasRenderingContext2D;

const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace';
const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const HATCHED = 0.45;
const GAP_FROM = 6;
const NOTCH_FROM = 8;

export function paintFrame(ctx: Context, frame: Frame, size: { width: number; height: number }, colours: FullPalette): void {
  ctx.clearRect(0, 0, size.width, size.height);
  // what is washed lies under everything
  for (const mark of frame.marks) if (mark.kind === 'rect' && mark.ink === 'wash') paintMark(ctx, mark, colours);
  for (const mark of frame.marks) if (!(mark.kind === 'rect' && mark.ink === 'wash')) paintMark(ctx, mark, colours);
  ctx.globalAlpha = 1;
}

function paintMark(ctx: Context, mark: Mark, colours: FullPalette): void {
  if (mark.opacity <= 0) return;
  if (mark.kind === 'cells') return paintCells(ctx, mark, colours);
  ctx.globalAlpha = Math.min(1, mark.opacity);
  if (mark.kind === 'text') return paintText(ctx, mark, colours);
  if (mark.line) {
    ctx.strokeStyle = colours[mark.ink];
    ctx.lineWidth = mark.ink === 'lit' ? 1.5 : 1;
    ctx.strokeRect(mark.x + 0.5, mark.y + 0.5, Math.max(0, mark.width - 1), Math.max(0, mark.height - 1));
  } else {
    ctx.fillStyle = colours[mark.ink];
    ctx.fillRect(mark.x, mark.y, mark.width, mark.height);
  }
}

function paintText(ctx: Context, mark: TextMark, colours: FullPalette): void {
  ctx.font = `${mark.strong ? '600 ' : ''}${mark.size}px ${mark.mono ? MONO : SANS}`;
  ctx.fillStyle = inkOfText(mark.ink, colours);
  ctx.textAlign = mark.anchor === 'middle' ? 'center' : mark.anchor;
  ctx.textBaseline = 'middle';
  ctx.fillText(mark.text, mark.x, mark.y);
}

const ROLES: ReadonlySet<Ink> = new Set<Ink>(['q', 'k', 'v', 'attention', 'mlp', 'residual']);

/** Letters in a role's hue are light or dark enough to read. */
function inkOfText(ink: Ink, colours: FullPalette): string {
  return ROLES.has(ink) ? interpolateRgb(colours[ink], colours.ink)(0.3) : colours[ink];
}

function scaleOf(sheet: Sheet, colours: FullPalette): ColourScale {
  return sheet.kind === 'share' ? shareScale(colours, sheet.bound) : signedScale(colours, sheet.bound, { most: sheet.most });
}

function paintCells(ctx: Context, mark: CellsMark, colours: FullPalette): void {
  const { sheet, next } = mark;
  const own = scaleOf(sheet, colours);
  const other = next && scaleOf(next, colours);
  // moving cells may stand anywhere; those at rest stand on whole pixels, so that neighbours join
  const resting = !mark.to || mark.move <= 0 || mark.move >= 1;
  const small = cellPlace(mark, 0, 0);
  const gap = Math.min(small.width, small.height) >= GAP_FROM ? 1 : 0;
  const rowGap = small.height >= 12 && small.width < GAP_FROM ? 4 : gap;
  for (let row = 0; row < sheet.rows; row++) {
    for (let col = 0; col < sheet.cols; col++) {
      const shown = cellShown(mark, row, col) * mark.opacity;
      if (shown <= 0) continue;
      const box = inset(cellPlace(mark, row, col), gap, rowGap, resting);
      const at = row * sheet.cols + col;
      const p = next ? progressOf(mark, mark.mix, row, col) : 0;
      if (p < 1) paintCell(ctx, box, sheet.data[at] ?? NaN, sheet.masked?.[at] === 1, own, shown, colours);
      if (p > 0 && next && other) paintCell(ctx, box, next.data[at] ?? NaN, next.masked?.[at] === 1, other, shown * p, colours);
    }
  }
}

function paintCell(ctx: Context, box: Box, value: number, masked: boolean, scale: ColourScale, opacity: number, colours: FullPalette): void {
  ctx.globalAlpha = Math.min(1, opacity);
  if (Number.isNaN(value)) {
    ctx.strokeStyle = colours.muted;
    ctx.lineWidth = 1;
    ctx.strokeRect(box.x + 0.5, box.y + 0.5, Math.max(0, box.width - 1), Math.max(0, box.height - 1));
    return;
  }
  if (masked || value === -Infinity) {
    ctx.fillStyle = colours.ground;
    ctx.fillRect(box.x, box.y, box.width, box.height);
    ctx.globalAlpha *= HATCHED;
    hatch(ctx, box, colours.muted);
    return;
  }
  ctx.fillStyle = scale.css(value);
  ctx.fillRect(box.x, box.y, box.width, box.height);
  if (scale.beyond(value) && Math.min(box.width, box.height) >= NOTCH_FROM) notch(ctx, box, value, colours.ground);
}

function inset(box: Box, gap: number, rowGap: number, resting: boolean): Box {
  if (!resting) return { x: box.x, y: box.y + rowGap / 2, width: box.width - gap, height: box.height - rowGap };
  const x = Math.round(box.x);
  const right = Math.round(box.x + box.width);
  const y = Math.round(box.y);
  const bottom = Math.round(box.y + box.height);
  return { x, y: y + Math.floor(rowGap / 2), width: Math.max(1, right - x - gap), height: Math.max(1, bottom - y - rowGap) };
}

function notch(ctx: Context, box: Box, value: number, ground: string): void {
  const middle = box.x + box.width / 2;
  const [edge, inside] = value > 0 ? [box.y, box.y + 3] : [box.y + box.height, box.y + box.height - 3];
  ctx.fillStyle = ground;
  ctx.beginPath();
  ctx.moveTo(middle - 3, edge);
  ctx.lineTo(middle + 3, edge);
  ctx.lineTo(middle, inside);
  ctx.fill();
}

function hatch(ctx: Context, { x, y, width, height }: Box, colour: string): void {
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
