/** Where cells stand that are named by their index: found from the index, since a picture may have a million cells. Pure. */

export interface Drawn {
  rows: number;
  /** the first row's number */
  first: number;
  /** columns that are drawn */
  cols: number;
  indexOf: (row: number, col: number) => number[];
  /** the real column that a drawn one shows, where not every column is drawn */
  realCol: ((row: number, col: number) => number) | null;
  /** real columns */
  fullCols: number;
}

export interface Found {
  row: number;
  col: number;
  key: string;
}

/** The drawn cells with these indices ("5,4,2"), rows counted from `first`. One that its bin does not show is not there. */
export function placesOf(keys: readonly string[], drawn: Drawn): Found[] {
  const axes = axesOf(drawn);
  return axes ? keys.flatMap((key) => placed(key, drawn, axes)) : looked(new Set(keys), drawn);
}

interface Axes {
  /** the index at the first row and real column 0 */
  base: readonly number[];
  /** which places of an index count rows and columns; null: none does */
  row: number | null;
  col: number | null;
}

/** null: rows and columns are not counted along one axis each. */
function axesOf({ rows, first, cols, indexOf, realCol, fullCols }: Drawn): Axes | null {
  if (rows < 1 || cols < 1) return null;
  const [down, along] = [rows - 1, (realCol ? fullCols : cols) - 1];
  const base = indexOf(first, 0);
  const row = counted(base, indexOf(first + down, 0), down);
  const col = counted(base, indexOf(first, along), along);
  const end = base.map((value, i) => value + (i === row ? down : 0) + (i === col ? along : 0));
  if (row === undefined || col === undefined || (row === col && row !== null)) return null;
  return indexOf(first + down, along).join() === end.join() ? { base, row, col } : null;
}

/** The one place that grew by `steps`; null where nothing changed, undefined where anything else did. */
function counted(from: readonly number[], to: readonly number[], steps: number): number | null | undefined {
  const changed = from.flatMap((value, i) => (to[i] === value ? [] : [i]));
  if (!changed.length) return null;
  const [at] = changed;
  return changed.length === 1 && at !== undefined && to[at] === (from[at] ?? 0) + steps ? at : undefined;
}

function placed(key: string, drawn: Drawn, { base, row: rowAt, col: colAt }: Axes): Found[] {
  const index = key.split(',').map(Number);
  const row = drawn.first + (rowAt === null ? 0 : (index[rowAt] ?? NaN) - (base[rowAt] ?? 0));
  const real = colAt === null ? 0 : (index[colAt] ?? NaN) - (base[colAt] ?? 0);
  if (!(row >= drawn.first && row < drawn.first + drawn.rows)) return [];
  // bins start at their share of the columns, rounded down
  const col = drawn.realCol ? Math.floor(((real + 1) * drawn.cols - 1) / drawn.fullCols) : real;
  const shows = col >= 0 && col < drawn.cols && (drawn.realCol?.(row, col) ?? col) === real;
  return shows && drawn.indexOf(row, real).join(',') === key ? [{ row, col, key }] : [];
}

function looked(keys: ReadonlySet<string>, { rows, first, cols, indexOf, realCol }: Drawn): Found[] {
  const found: Found[] = [];
  for (let row = first; row < first + rows; row++) {
    for (let col = 0; col < cols; col++) {
      const key = indexOf(row, realCol?.(row, col) ?? col).join(',');
      if (keys.has(key)) found.push({ row, col, key });
    }
  }
  return found;
}
