/** Where each head's thumbnail stands, and what its cells hold. Pure. */
import type { Tensor } from '../../trace/tensor';

export interface Layout {
  nLayer: number;
  nHead: number;
  /** heads to a key/value head */
  perGroup: number;
  /** from one thumbnail to the next */
  pitch: number;
  /** side of a thumbnail */
  side: number;
  /** blocks stand in so many columns, read like those of a newspaper */
  columns: number;
  /** blocks to a column */
  perColumn: number;
  /** width of a column with its numbers */
  columnWidth: number;
  width: number;
  height: number;
}

export interface Place {
  block: number;
  head: number;
}

export const NUMBERS = 26;
export const HEADER = 22;
const BETWEEN_GROUPS = 4;
const BETWEEN_COLUMNS = 20;
const SMALLEST = 12;
const LARGEST = 56;

/** As large as fits `width` without growing taller than `limit`; where nothing does, as large as fits the width. */
export function layoutOf(shape: { nLayer: number; nHead: number; perGroup: number }, width: number, limit: number): Layout {
  const { nLayer, nHead, perGroup } = shape;
  const gaps = perGroup > 1 ? BETWEEN_GROUPS * (nHead / perGroup - 1) : 0;
  const make = (columns: number, pitch: number): Layout => {
    const perColumn = Math.ceil(nLayer / columns);
    const columnWidth = NUMBERS + nHead * pitch + gaps;
    return {
      nLayer, nHead, perGroup, pitch, side: pitch - (pitch > 24 ? 4 : 2), columns, perColumn, columnWidth,
      width: columns * columnWidth + (columns - 1) * BETWEEN_COLUMNS, height: HEADER + perColumn * pitch,
    };
  };
  const widest = (columns: number): number =>
    Math.floor((width - (columns - 1) * BETWEEN_COLUMNS - columns * (NUMBERS + gaps)) / (columns * nHead));
  let best: Layout | null = null;
  for (let columns = 1; columns <= Math.min(6, nLayer); columns++) {
    const tallest = Math.floor((limit - HEADER) / Math.ceil(nLayer / columns));
    const pitch = Math.min(LARGEST, widest(columns), tallest);
    if (pitch >= 24 && (!best || pitch > best.pitch)) best = make(columns, pitch);
  }
  return best ?? make(1, Math.max(SMALLEST, Math.min(LARGEST, widest(1))));
}

export function boxOf(layout: Layout, { block, head }: Place): { x: number; y: number; side: number } {
  const column = Math.floor(block / layout.perColumn);
  const group = layout.perGroup > 1 ? BETWEEN_GROUPS * Math.floor(head / layout.perGroup) : 0;
  return {
    x: column * (layout.columnWidth + BETWEEN_COLUMNS) + NUMBERS + head * layout.pitch + group,
    y: HEADER + (block % layout.perColumn) * layout.pitch,
    side: layout.side,
  };
}

export function placeUnder(layout: Layout, x: number, y: number): Place | null {
  const column = Math.floor(x / (layout.columnWidth + BETWEEN_COLUMNS));
  const row = Math.floor((y - HEADER) / layout.pitch);
  const block = column * layout.perColumn + row;
  if (column < 0 || column >= layout.columns || row < 0 || row >= layout.perColumn || block >= layout.nLayer) return null;
  for (let head = 0; head < layout.nHead; head++) {
    const box = boxOf(layout, { block, head });
    if (x >= box.x && x < box.x + layout.pitch) return { block, head };
  }
  return null;
}

/** Arrows: blocks down, heads across. Ends stay where they are. */
export function moved(layout: Layout, { block, head }: Place, key: string): Place | null {
  const last = { block: layout.nLayer - 1, head: layout.nHead - 1 };
  switch (key) {
    case 'ArrowUp': return { block: Math.max(0, block - 1), head };
    case 'ArrowDown': return { block: Math.min(last.block, block + 1), head };
    case 'ArrowLeft': return { block, head: Math.max(0, head - 1) };
    case 'ArrowRight': return { block, head: Math.min(last.head, head + 1) };
    case 'Home': return { block, head: 0 };
    case 'End': return { block, head: last.head };
    case 'PageUp': return { block: 0, head };
    case 'PageDown': return { block: last.block, head };
    default: return null;
  }
}

/** One head's pattern, reduced to few cells by the server: each value is one of the real pattern, at `at`. */
export interface Thumb {
  rows: number;
  cols: number;
  data: Float32Array;
  /** [row, col, 2]: query and key; null where every element came */
  at: Int32Array | null;
}

export function thumbOf(tensor: Tensor, head: number): Thumb {
  const [, rows = 0, cols = 0] = tensor.shape;
  const n = rows * cols;
  return {
    rows, cols,
    data: tensor.data.subarray(head * n, (head + 1) * n),
    at: tensor.at ? tensor.at.subarray(2 * head * n, 2 * (head + 1) * n) : null,
  };
}

/** Query and key of a cell. */
export function cellOf(thumb: Thumb, row: number, col: number): [number, number] {
  const at = 2 * (row * thumb.cols + col);
  return thumb.at ? [thumb.at[at] ?? row, thumb.at[at + 1] ?? col] : [row, col];
}

/** What one query looks at through one head: the strongest key beside the first, and the first's share. */
export interface Look {
  key: number;
  share: number;
  first: number;
}

/** From the query's row of the pattern, [head, 1, key]. */
export function looksOf(row: Tensor): Look[] {
  const keys = row.shape.at(-1) ?? 0;
  return Array.from({ length: row.shape[0] ?? 0 }, (_, head) => {
    let key = Math.min(1, keys - 1);
    for (let k = 1; k < keys; k++) {
      if ((row.data[head * keys + k] ?? 0) > (row.data[head * keys + key] ?? 0)) key = k;
    }
    return { key, share: row.data[head * keys + key] ?? NaN, first: row.data[head * keys] ?? NaN };
  });
}

/** The same from the largest share beside the first key, [head, 1, 1] with its key, and the first key's, [head, 1, 1]. */
export function looksOfLargest(largest: Tensor, first: Tensor | undefined): Look[] {
  return Array.from(largest.data, (share, head) => ({ key: largest.at?.[head] ?? 0, share, first: first?.data[head] ?? NaN }));
}

export function largest(thumbs: readonly Thumb[]): number {
  let top = 0;
  for (const { data } of thumbs) for (const value of data) if (value > top) top = value;
  return top;
}
