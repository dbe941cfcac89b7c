/** RoPE's pairs as they stand in a model's vectors: dimension j turns with j + d_head / 2. Pure. */

export interface Pair {
  j: number;
  /** the partner's dimension */
  k: number;
  before: readonly [number, number];
  after: readonly [number, number];
  /** of `before`; turning leaves it as it is */
  length: number;
  /** by how much it turned, 0 to 2π, from the two points */
  turned: number;
  /** radians from one position to the next, or null where nothing says */
  step: number | null;
}

/** `cos`, `sin`: the model's own table at position 1, from which the step of each pair is read. */
export function pairsOf(before: ArrayLike<number>, after: ArrayLike<number>, cos: ArrayLike<number> | null, sin: ArrayLike<number> | null): Pair[] {
  const half = Math.floor(before.length / 2);
  return Array.from({ length: half }, (_, j) => {
    const k = j + half;
    const [a, b] = [[before[j] ?? 0, before[k] ?? 0] as const, [after[j] ?? 0, after[k] ?? 0] as const];
    return {
      j, k, before: a, after: b,
      length: Math.hypot(a[0], a[1]),
      turned: around(Math.atan2(b[1], b[0]) - Math.atan2(a[1], a[0])),
      step: cos && sin ? Math.atan2(sin[j] ?? NaN, cos[j] ?? NaN) : null,
    };
  });
}

/** An angle in [0, 2π). What rounding leaves below a full turn counts as none. */
export function around(angle: number): number {
  const turn = 2 * Math.PI;
  const found = ((angle % turn) + turn) % turn;
  return turn - found < 1e-4 ? 0 : found;
}

/** The arc from `from` counter-clockwise over `angle`, as an SVG path around 0, 0; y points down there. */
export function arc(from: number, angle: number, radius: number): string {
  const at = (a: number): string => `${(radius * Math.cos(a)).toFixed(2)},${(-radius * Math.sin(a)).toFixed(2)}`;
  return `M${at(from)}A${radius},${radius} 0 ${angle > Math.PI ? 1 : 0} 0 ${at(from + angle)}`;
}
