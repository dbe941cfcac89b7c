/** What the pattern's picture sets aside, and one row of it in order. Pure. */

/** 1 for cells to hatch: those that the mask rules out, and the first key's where it is set aside. */
export function hatching(scores: ArrayLike<number>, n: number, aside: boolean): Uint8Array {
  return Uint8Array.from({ length: n * n }, (_, i) => (scores[i] === -Infinity || (aside && i % n === 0) ? 1 : 0));
}

/** The largest share beside the first key's: what the colours are stretched to. */
export function largestBeside(data: ArrayLike<number>, n: number, rows = n): number {
  let top = 0;
  for (let i = 0; i < rows * n; i++) if (i % n !== 0) top = Math.max(top, data[i] ?? 0);
  return top || 1;
}

export interface Ranked {
  /** strongest first */
  keys: number[];
  /** the share of a full bar */
  most: number;
  /** those not shown, without the one set aside */
  rest: number;
  restShare: number;
  /** the first key's share, where it is set aside */
  first: number | null;
  masked: number;
}

/** The keys that a query may look at, strongest first; the first one apart where it is set aside. */
export function ranked(row: ArrayLike<number>, masked: (key: number) => boolean, most: number, aside: boolean): Ranked {
  const open = Array.from({ length: row.length }, (_, key) => key).filter((key) => !masked(key));
  const order = [...open].sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0) || a - b);
  const apart = aside && open.length > 1 && open.includes(0);
  const others = apart ? order.filter((key) => key !== 0) : order;
  const keys = others.slice(0, most);
  const hidden = others.slice(most);
  return {
    keys, most: row[keys[0] ?? 0] || 1, first: apart ? (row[0] ?? 0) : null, rest: hidden.length, restShare: hidden.reduce((sum, key) => sum + (row[key] ?? 0), 0), masked: row.length - open.length,
  };
}
