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
const [BOTH, UP, BACK] = [1, 2, 3];

/** The alignment in which the most is the same, the longer the better (Needleman and Wunsch 1970). What differs stands
 * side by side where as much differs on either side. Of long sentences only the steps are kept, a byte for each pair. */
export function align(a: readonly Piece[], b: readonly Piece[]): Row[] {
  const [left, right] = [a.map(known), b.map(known)];
  const width = b.length + 1;
  const steps = new Uint8Array((a.length + 1) * width);
  let above = Float64Array.from({ length: width }, (_, j) => j * GAP);
  let own = new Float64Array(width);
  for (let i = 1; i <= a.length; i++) {
    const here = left[i - 1];
    own[0] = i * GAP;
    for (let j = 1; j < width; j++) {
      const both = (above[j - 1] ?? 0) + likeness(here, right[j - 1]);
      const [up, back] = [above[j] ?? 0, own[j - 1] ?? 0];
      const one = (up >= back ? up : back) + GAP;
      own[j] = both >= one ? both : one;
      steps[i * width + j] = both >= one ? BOTH : up >= back ? UP : BACK;
    }
    [above, own] = [own, above];
  }
  const rows: Row[] = [];
  for (let i = a.length, j = b.length; i > 0 || j > 0; ) {
    const step = i === 0 ? BACK : j === 0 ? UP : steps[i * width + j];
    if (step === BOTH) rows.push({ a: --i, b: --j, same: a[i]?.id === b[j]?.id });
    else if (step === UP) rows.push({ a: --i, b: null, same: false });
    else rows.push({ a: null, b: --j, same: false });
  }
  return rows.reverse();
}

const aligned = new WeakMap<readonly Piece[], WeakMap<readonly Piece[], Row[]>>();

/** `align`, once for two sentences, whoever asks. */
export function alignOnce(a: readonly Piece[], b: readonly Piece[]): readonly Row[] {
  let beside = aligned.get(a);
  if (!beside) aligned.set(a, (beside = new WeakMap()));
  let rows = beside.get(b);
  if (!rows) beside.set(b, (rows = align(a, b)));
  return rows;
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

interface Known {
  id: number;
  plain: string;
  /** what it is worth to find it again: letters, and no more than twelve of them */
  length: number;
}

function known(piece: Piece): Known {
  const plain = piece.text.trim().toLowerCase();
  return { id: piece.id, plain, length: Math.min(12, plain.length) };
}

function likeness(a: Known | undefined, b: Known | undefined): number {
  if (!a || !b) return OTHER;
  if (a.id === b.id) return 2 + a.length / 4;
  // the same word with and without its space or capital: another piece, but it belongs there
  return a.length > 1 && a.plain === b.plain ? 1 : OTHER;
}
