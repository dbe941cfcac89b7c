/** The positions of a long text in parts, each fetched once. */

/** positions from which on a text is shown in parts: below, all of it is cheaper than looking for what is seen */
export const LONG = 200;
/** positions that are fetched together */
export const CHUNK = 128;

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The chunks that cover a span, each from a multiple of `CHUNK` on. */
export function chunksOf({ from, to }: Span, rows: number): Span[] {
  const found: Span[] = [];
  for (let at = Math.floor(from / CHUNK) * CHUNK; at < to; at += CHUNK) found.push({ from: at, to: Math.min(rows, at + CHUNK) });
  return found;
}

/** The chunk that holds a position of a long text; of a short one all positions. */
export function partAround(pos: number, rows: number): Span | undefined {
  return rows > LONG ? chunksOf({ from: pos, to: pos + 1 }, rows)[0] : undefined;
}
