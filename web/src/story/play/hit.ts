/** Which number of a frame stands under a point. Pure. */
import { cellPlace, cellShown, progressOf, type Box, type CellsMark, type Frame } from './frame';

export interface Hit {
  site: string;
  index: number[];
  value: number;
  box: Box;
}

const VISIBLE = 0.5;

/** The topmost number there; null where there is none, or where a cell is between two. */
export function hit(frame: Frame, x: number, y: number): Hit | null {
  for (let i = frame.marks.length - 1; i >= 0; i--) {
    const mark = frame.marks[i];
    if (!mark || mark.opacity < VISIBLE) continue;
    if (mark.kind === 'cells') {
      const found = cellUnder(mark, x, y);
      if (found) return found;
    } else if (mark.kind === 'text' && mark.site && mark.index && mark.value !== undefined) {
      const width = mark.text.length * mark.size * 0.6;
      const left = mark.anchor === 'end' ? mark.x - width : mark.anchor === 'middle' ? mark.x - width / 2 : mark.x;
      const box = { x: left, y: mark.y - mark.size * 0.75, width, height: mark.size * 1.5 };
      if (inside(box, x, y)) return { site: mark.site, index: mark.index, value: mark.value, box };
    }
  }
  return null;
}

function cellUnder(mark: CellsMark, x: number, y: number): Hit | null {
  const { rows, cols } = mark.sheet;
  if (!inside(around(mark), x, y)) return null;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const box = cellPlace(mark, row, col);
      if (!inside(box, x, y)) continue;
      if (cellShown(mark, row, col) < VISIBLE) return null;
      const p = mark.next ? progressOf(mark, mark.mix, row, col) : 0;
      if (p > 0 && p < 1) return null;
      const sheet = (p >= 1 && mark.next) || mark.sheet;
      return { site: sheet.site, index: sheet.index(row, col), value: sheet.data[row * cols + col] ?? NaN, box };
    }
  }
  return null;
}

function around({ at, to }: CellsMark): Box {
  if (!to) return at;
  const [x, y] = [Math.min(at.x, to.x), Math.min(at.y, to.y)];
  return { x, y, width: Math.max(at.x + at.width, to.x + to.width) - x, height: Math.max(at.y + at.height, to.y + to.height) - y };
}

function inside(box: Box, x: number, y: number): boolean {
  return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
}

/** The mark that draws the frame's main picture. */
export function mainMark(frame: Frame): CellsMark | null {
  const { main } = frame;
  if (!main) return null;
  return (frame.marks.findLast((mark) => mark.kind === 'cells' && (mark.sheet === main || mark.next === main)) as CellsMark | undefined) ?? null;
}

export function placeIn(mark: CellsMark, row: number, col: number): Box {
  return cellPlace(mark, row, col);
}
