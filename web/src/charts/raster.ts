/** Rows of narrow cells, painted as pictures: a rectangle for each of 20,000 cells costs 30 ms, a row of pixels that is
 * stretched into place next to nothing. What takes no pictures (a context that writes SVG, a test's) gets rectangles.
 */
import type { Rgb } from './scales';

export interface RowBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

let scratch: HTMLCanvasElement | null = null;

export function takesPictures(ctx: unknown): boolean {
  return typeof CanvasRenderingContext2D !== 'undefined' && ctx instanceof CanvasRenderingContext2D;
}

/** Paints `cols` cells of equal width into each row's box. null: nothing there. */
export function paintRows(
  ctx: CanvasRenderingContext2D, rows: number, cols: number, colourOf: (row: number, col: number) => Rgb | null, boxOf: (row: number) => RowBox,
): void {
  if (rows < 1 || cols < 1) return;
  scratch ??= document.createElement('canvas');
  // never smaller than before: a canvas whose size is set is a new one
  if (scratch.width < cols) scratch.width = cols;
  if (scratch.height < rows) scratch.height = rows;
  const source = scratch.getContext('2d', { willReadFrequently: true });
  if (!source) return;
  const pixels = source.createImageData(cols, rows);
  const { data } = pixels;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++, at += 4) {
      const colour = colourOf(row, col);
      if (!colour) continue;
      data[at] = colour[0];
      data[at + 1] = colour[1];
      data[at + 2] = colour[2];
      data[at + 3] = 255;
    }
  }
  source.putImageData(pixels, 0, 0);
  const smooth = ctx.imageSmoothingEnabled;
  ctx.imageSmoothingEnabled = false;
  const [top, end] = [boxOf(0), boxOf(rows - 1)];
  // rows that touch are one picture: drawn one by one they would leave seams where they are no whole pixels tall
  const touch = Math.abs(end.y - top.y - (rows - 1) * top.height) < 1e-6 * end.y;
  if (touch) ctx.drawImage(scratch, 0, 0, cols, rows, top.x, top.y, top.width, end.y + end.height - top.y);
  for (let row = 0; row < rows && !touch; row++) {
    const { x, y, width, height } = boxOf(row);
    ctx.drawImage(scratch, 0, row, cols, 1, x, y, width, height);
  }
  ctx.imageSmoothingEnabled = smooth;
}
