/** A table as CSV (RFC 4180): numbers whole, as float32 has them, so that nothing is lost on the way. Pure. */

export interface Table {
  /** where it is not all of the picture */
  name?: string;
  data: ArrayLike<number>;
  rows: number;
  cols: number;
  rowNames?: readonly string[];
  colNames?: readonly string[];
}

export function csvOf({ data, rows, cols, rowNames = [], colNames = [] }: Table): string {
  const lines = [['', ...Array.from({ length: cols }, (_, col) => colNames[col] ?? String(col))]];
  for (let row = 0; row < rows; row++) {
    lines.push([rowNames[row] ?? String(row), ...Array.from({ length: cols }, (_, col) => plain(data[row * cols + col]))]);
  }
  return lines.map((line, i) => line.map((cell, at) => (i === 0 || at === 0 ? quoted(guarded(cell)) : cell)).join(',')).join('\r\n') + '\r\n';
}

/** Rows of text, such as those of a table in the document. */
export function csvOfRows(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => row.map((cell) => quoted(numeric(cell) ?? guarded(cell))).join(',')).join('\r\n') + '\r\n';
}

/** The shortest decimal that is this float32 and no other; inf, -inf; nothing where nothing is there. */
function plain(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === Math.fround(value)) return String(Number(text));
  }
  return String(value);
}

/** A number as the page writes it, as programs read it. */
function numeric(cell: string): string | null {
  const text = cell.trim().replace(/−/g, '-').replace(/(\d),(?=\d{3})/g, '$1');
  if (/^-?∞$/.test(text)) return text.replace('∞', 'inf');
  return /^-?\d+(\.\d+)?%?$/.test(text) ? text : null;
}

/** What a spreadsheet would run is told to be text. */
function guarded(cell: string): string {
  return /^[=+\-@\t\r]/.test(cell) && !/^-?\d+(\.\d+)?$/.test(cell) ? `'${cell}` : cell;
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell;
}
