/** Statistics of shown cells: for captions, and for choosing what to point at. Pure. */

/** Places of the `most` largest |x|, largest first. */
export function strongest(data: ArrayLike<number>, most: number): number[] {
  const order = Array.from({ length: data.length }, (_, i) => i);
  order.sort((a, b) => Math.abs(data[b] ?? 0) - Math.abs(data[a] ?? 0) || a - b);
  return order.slice(0, most);
}

export function largest(data: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < data.length; i++) if (Math.abs(data[i] ?? 0) > Math.abs(data[best] ?? 0)) best = i;
  return best;
}

export function mean(data: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i] ?? 0;
  return sum / Math.max(1, data.length);
}

/** The middle |x|: what most of the numbers are about as large as. */
export function medianSize(data: ArrayLike<number>): number {
  const sizes = Float64Array.from({ length: data.length }, (_, i) => Math.abs(data[i] ?? 0)).sort();
  const half = sizes.length >> 1;
  if (!sizes.length) return NaN;
  return sizes.length % 2 ? (sizes[half] ?? NaN) : ((sizes[half - 1] ?? NaN) + (sizes[half] ?? NaN)) / 2;
}

/** How much of the sum of squares around `centre` one place makes, 0 to 1. */
export function shareOfSquares(data: ArrayLike<number>, at: number, centre = 0): number {
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += ((data[i] ?? 0) - centre) ** 2;
  return sum ? ((data[at] ?? 0) - centre) ** 2 / sum : 0;
}
