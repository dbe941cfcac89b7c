/** Which piece of one sentence stands beside which of another. Pure. */

export interface Piece {
  id: number;
  text: string;
}

/** A row: a place in the first sentence, in the second, or in both; `same`: one piece, in two sentences. */
export interface Row {
  a: number | null;
  b: number | null;
  same: boolean;
}

// small beside what is the same: a word turned round may cost several gaps
const GAP = -0.25;
const OTHER = -0.4;

/** The alignment in which the most is the same, the longer the better (Needleman and Wunsch 1970). What differs stands
 * side by side where as much differs on either side. */
export function align(a: readonly Piece[], b: readonly Piece[]): Row[] {
  const width = b.length + 1;
  const best = new Float64Array((a.length + 1) * width);
  for (let i = 0; i <= a.length; i++) {
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 || j === 0) {
        best[i * width + j] = (i + j) * GAP;
        continue;
      }
      const both = (best[(i - 1) * width + j - 1] ?? 0) + likeness(a[i - 1], b[j - 1]);
      const one = Math.max(best[(i - 1) * width + j] ?? 0, best[i * width + j - 1] ?? 0) + GAP;
      best[i * width + j] = Math.max(both, one);
    }
  }
  const rows: Row[] = [];
  for (let i = a.length, j = b.length; i > 0 || j > 0; ) {
    const here = best[i * width + j];
    if (i > 0 && j > 0 && here === (best[(i - 1) * width + j - 1] ?? 0) + likeness(a[i - 1], b[j - 1])) {
      rows.push({ a: --i, b: --j, same: a[i]?.id === b[j]?.id });
    } else if (i > 0 && (j === 0 || here === (best[(i - 1) * width + j] ?? 0) + GAP)) rows.push({ a: --i, b: null, same: false });
    else rows.push({ a: null, b: --j, same: false });
  }
  return rows.reverse();
}

/** The place in `b` that goes with place `at` of `a`: where the same piece stands, aligned or (if the sentences
 * turn it round) elsewhere; else what is aligned; else null. */
export function partner(rows: readonly Row[], a: readonly Piece[], b: readonly Piece[], at: number): number | null {
  const row = rows.find((each) => each.a === at);
  if (row?.same) return row.b;
  const twins = b.flatMap((piece, i) => (piece.id === a[at]?.id ? [i] : []));
  const near = twins.sort((x, y) => Math.abs(x - at) - Math.abs(y - at))[0];
  return near ?? row?.b ?? null;
}

function likeness(a: Piece | undefined, b: Piece | undefined): number {
  if (!a || !b) return OTHER;
  const length = Math.min(12, plain(a.text).length);
  if (a.id === b.id) return 2 + length / 4;
  // the same word with and without its space or capital: another piece, but it belongs there
  return length > 1 && plain(a.text) === plain(b.text) ? 1 : OTHER;
}

function plain(text: string): string {
  return text.trim().toLowerCase();
}
