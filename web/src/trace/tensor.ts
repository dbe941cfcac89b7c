/** An array with named axes: a view over what the server sent. */
import type { SiteRange } from '../protocol/types';

export interface Tensor {
  readonly name: string;
  readonly axes: readonly string[];
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** where each value stands on the last axis, when only the largest of each bin came */
  readonly at: Int32Array | null;
  /** the length of the last axis before it was reduced */
  readonly fullLast: number;
  readonly range: SiteRange;
}

/** Row-major place of `index`. */
export function flat(shape: readonly number[], index: readonly number[]): number {
  let at = 0;
  for (let axis = 0; axis < shape.length; axis++) at = at * (shape[axis] ?? 1) + (index[axis] ?? 0);
  return at;
}

export function valueAt(tensor: Tensor, index: readonly number[]): number {
  return tensor.data[flat(tensor.shape, index)] ?? NaN;
}

export interface Matrix {
  rows: number;
  cols: number;
  data: Float32Array;
  at: Int32Array | null;
}

/** The matrix that stands at `lead` of the first axes: the last two axes, or row `lead[0]`'s for a vector. */
export function matrix(tensor: Tensor, lead: readonly number[] = []): Matrix {
  const [rows, cols] = tensor.shape.length === 1 ? [1, tensor.shape[0] ?? 0] : (tensor.shape.slice(-2) as [number, number]);
  const start = flat(tensor.shape.slice(0, -2), lead) * rows * cols;
  return {
    rows,
    cols,
    data: tensor.data.subarray(start, start + rows * cols),
    at: tensor.at ? tensor.at.subarray(start, start + rows * cols) : null,
  };
}

/** Head `head` of an array [pos, head, feature], as a matrix [pos, feature]: rows stand apart, so they are copied. */
export function headRows(tensor: Tensor, head: number): Matrix {
  const [rows = 0, heads = 1, cols = 0] = tensor.shape;
  const data = new Float32Array(rows * cols);
  const at = tensor.at ? new Int32Array(rows * cols) : null;
  for (let row = 0; row < rows; row++) {
    const from = (row * heads + head) * cols;
    data.set(tensor.data.subarray(from, from + cols), row * cols);
    if (at && tensor.at) at.set(tensor.at.subarray(from, from + cols), row * cols);
  }
  return { rows, cols, data, at };
}

/** Tensors of one site whose positions follow one another, as one. Axes before the positions have length 1. */
export function stacked(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (!first) throw new Error('There is nothing to put together.');
  if (parts.length === 1) return first;
  const axis = first.axes.findIndex((each) => each === 'pos' || each === 'q_pos');
  const size = parts.reduce((sum, part) => sum + part.data.length, 0);
  const data = new Float32Array(size);
  const at = first.at ? new Int32Array(size) : null;
  let [end, rows] = [0, 0];
  for (const part of parts) {
    data.set(part.data, end);
    if (at && part.at) at.set(part.at, end);
    end += part.data.length;
    rows += part.shape[axis] ?? 0;
  }
  return { ...first, shape: first.shape.map((length, i) => (i === axis ? rows : length)), data, at };
}
