/** Truthful reduction: where there are fewer pixels than elements, each bin shows its element with the largest |x|. */

export interface Binned {
  cols: number;
  data: Float32Array;
  /** the column that each shown value stands in */
  at: Int32Array;
  /** elements in the widest bin: "1 px = largest of 9" */
  width: number;
}

export function binColumns(data: ArrayLike<number>, rows: number, cols: number, bins: number): Binned {
  const n = Math.max(1, Math.min(bins, cols));
  const out = new Float32Array(rows * n);
  const at = new Int32Array(rows * n);
  for (let bin = 0; bin < n; bin++) {
    const from = Math.floor((bin * cols) / n);
    const to = Math.floor(((bin + 1) * cols) / n);
    for (let row = 0; row < rows; row++) {
      let best = from;
      let size = -1;
      for (let col = from; col < to; col++) {
        const value = Math.abs(data[row * cols + col] ?? NaN);
        if (Number.isFinite(value) && value > size) {
          size = value;
          best = col;
        }
      }
      out[row * n + bin] = data[row * cols + best] ?? NaN;
      at[row * n + bin] = best;
    }
  }
  return { cols: n, data: out, at, width: Math.ceil(cols / n) };
}
