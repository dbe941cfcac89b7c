/** A sheet: the cells of one site (or weight) as the film draws them, each with its place in the model. Pure. */
import type { Tensor } from '../../trace/tensor';

export interface Sheet {
  /** a site or a parameter, by its full name */
  site: string;
  rows: number;
  cols: number;
  /** row-major; each is the model's own number at `index(row, col)` */
  data: Float32Array;
  index: (row: number, col: number) => number[];
  kind: 'signed' | 'share';
  /** the colour scale's c, and the largest there is */
  bound: number;
  most: number;
  /** elements that one cell stands for: the largest of so many */
  perCell: number;
  /** cells that the mask rules out, row-major; null: none */
  masked: Uint8Array | null;
}

export interface SheetOptions {
  /** the axis that runs down, and the real places on it */
  down: string;
  rows: readonly number[];
  /** the real places of the columns; none: as they came */
  across?: readonly number[];
  /** axes of length 1 */
  fixed?: Readonly<Record<string, number>>;
  kind?: 'signed' | 'share';
  bound?: number;
}

/** The one matrix of a tensor whose other axes have length 1. */
export function sheetOf(tensor: Tensor, options: SheetOptions): Sheet {
  const { down, rows, across, fixed = {}, kind = 'signed' } = options;
  const cols = tensor.shape.at(-1) ?? 0;
  const last = tensor.axes.length - 1;
  const { at } = tensor;
  const place = (row: number, col: number): number => across?.[col] ?? at?.[row * cols + col] ?? col;
  return {
    site: tensor.name, rows: rows.length, cols, data: tensor.data.subarray(0, rows.length * cols),
    index: (row, col) => tensor.axes.map((axis, i) => (axis === down ? (rows[row] ?? row) : i === last ? place(row, col) : (fixed[axis] ?? 0))),
    kind, bound: options.bound ?? boundOf(tensor), most: tensor.range.absmax ?? boundOf(tensor),
    // chosen columns stand for themselves alone
    perCell: across ? 1 : Math.ceil(tensor.fullLast / Math.max(1, cols)), masked: null,
  };
}

/** c of the whole site; of the values that came, where the server did not say. */
function boundOf(tensor: Tensor): number {
  if (tensor.range.c !== null && tensor.range.c > 0) return tensor.range.c;
  let most = 0;
  for (const value of tensor.data) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  return most || 1;
}

/** The same cells with fewer rows: in each bin of rows, and for each column, the one with the largest |x|. */
export function fewerRows(sheet: Sheet, most: number): Sheet {
  if (sheet.rows <= most) return sheet;
  const { cols, data } = sheet;
  const out = new Float32Array(most * cols);
  const from = new Int32Array(most * cols);
  for (let bin = 0; bin < most; bin++) {
    const [start, end] = [Math.floor((bin * sheet.rows) / most), Math.floor(((bin + 1) * sheet.rows) / most)];
    for (let col = 0; col < cols; col++) {
      let best = start;
      for (let row = start + 1; row < end; row++) if (size(data, row * cols + col) > size(data, best * cols + col)) best = row;
      out[bin * cols + col] = data[best * cols + col] ?? NaN;
      from[bin * cols + col] = best;
    }
  }
  return {
    ...sheet, rows: most, data: out, index: (row, col) => sheet.index(from[row * cols + col] ?? row, col),
    perCell: sheet.perCell * Math.ceil(sheet.rows / most),
  };
}

/** The same rows with fewer columns, each the one of its bin with the largest |x|: where there are fewer pixels. */
export function fewerCols(sheet: Sheet, most: number): Sheet {
  if (sheet.cols <= most) return sheet;
  const { cols, rows, data } = sheet;
  const out = new Float32Array(rows * most);
  const from = new Int32Array(rows * most);
  for (let row = 0; row < rows; row++) {
    for (let bin = 0; bin < most; bin++) {
      const [start, end] = [Math.floor((bin * cols) / most), Math.floor(((bin + 1) * cols) / most)];
      let best = start;
      for (let col = start + 1; col < end; col++) if (size(data, row * cols + col) > size(data, row * cols + best)) best = col;
      out[row * most + bin] = data[row * cols + best] ?? NaN;
      from[row * most + bin] = best;
    }
  }
  return {
    ...sheet, cols: most, data: out, index: (row, col) => sheet.index(row, from[row * most + col] ?? col),
    perCell: sheet.perCell * Math.ceil(cols / most),
  };
}

/** The column of `row` with the largest |x|. */
export function strongestCol(sheet: Sheet, row: number): number {
  let best = 0;
  for (let col = 1; col < sheet.cols; col++) if (size(sheet.data, row * sheet.cols + col) > size(sheet.data, row * sheet.cols + best)) best = col;
  return best;
}

function size(data: Float32Array, at: number): number {
  const value = Math.abs(data[at] ?? NaN);
  return Number.isFinite(value) ? value : -1;
}

/** One row by itself. */
export function rowOf(sheet: Sheet, row: number): Sheet {
  const part = sheet.data.subarray(row * sheet.cols, (row + 1) * sheet.cols);
  const masked = sheet.masked?.subarray(row * sheet.cols, (row + 1) * sheet.cols) ?? null;
  return { ...sheet, rows: 1, data: part, masked, index: (_, col) => sheet.index(row, col) };
}
