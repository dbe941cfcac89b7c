/** Marks that many scenes share. Pure. */
import { percent, short } from '../../charts/format';
import { cellPlace, clamp, evenly, type Box, type CellsMark, type Ink, type Mark, type Placement, type RectMark, type TextMark } from './frame';
import { LINE, shortened, type Geometry } from './geometry';
import type { Material, WrittenSum } from './material';
import type { Sheet } from './sheet';

export function cells(id: string, sheet: Sheet, at: Placement, more: Partial<CellsMark> = {}): CellsMark {
  return { kind: 'cells', id, sheet, next: null, mix: 0, at, to: null, move: 0, opacity: 1, shown: 1, order: 'all', first: null, ...more };
}

export function text(id: string, x: number, y: number, words: string, more: Partial<TextMark> = {}): TextMark {
  return { kind: 'text', id, x, y, text: words, anchor: 'start', ink: 'muted', opacity: 1, size: 12, mono: false, strong: false, ...more };
}

export function number(id: string, x: number, y: number, value: number, site: string, index: number[], more: Partial<TextMark> = {}): TextMark {
  return text(id, x, y, more.text ?? short(value), { value, site, index, mono: true, ...more });
}

export function rect(id: string, box: Box, ink: Ink, more: Partial<RectMark> = {}): RectMark {
  return { kind: 'rect', id, x: box.x, y: box.y, width: box.width, height: box.height, ink, opacity: 1, line: false, ...more };
}

/** A picture's letter, under it. */
export function letter(id: string, box: Box, words: string, ink: Ink, opacity = 1): TextMark {
  return text(`${id} letter`, box.x + box.width / 2, box.y + box.height + 15, words, { anchor: 'middle', ink, opacity, strong: words.length <= 2 });
}

/** A picture above a product has its name above it. */
export function headline(id: string, box: Box, words: string, ink: Ink, opacity = 1): TextMark {
  return text(`${id} name`, box.x + box.width / 2, box.y - 6, words, { anchor: 'middle', ink, opacity });
}

/** The pieces at the left, the followed one on a band across. */
export function pieceColumn(m: Material, g: Geometry): Mark[] {
  const band = { x: 0, y: g.top + m.row * g.rowHeight, width: g.wide ? g.sum.x - 16 : g.width, height: g.rowHeight };
  return [
    rect('band', band, 'wash'),
    ...m.pieces.map((piece, i) =>
      text(`piece ${piece.pos}`, g.pieces, g.middle(i), shortened(piece.display, g.letters), { anchor: 'end', ink: 'ink', mono: true, strong: i === m.row })),
    ...(m.pieces.length < m.nPos ? [text('left out', g.pieces, g.top - 8, `${m.pieces.length} of ${m.nPos}`, { anchor: 'end' })] : []),
  ];
}

/** The stream, on its way from one depth to the next. */
export function stream(g: Geometry, from: Sheet, to: Sheet | null = null, mix = 0): Mark[] {
  return [cells('stream', from, g.stream, { next: to, mix }), letter('stream', g.stream, g.wide ? 'stream' : 'x', 'residual')];
}

export function outline(id: string, box: Box, opacity: number): RectMark {
  return rect(id, { x: box.x - 1, y: box.y - 1, width: box.width + 2, height: box.height + 2 }, 'lit', { line: true, opacity });
}

export function rowBox(at: Placement, sheet: Sheet, row: number): Box {
  return at.turned
    ? { x: at.x + (row * at.width) / sheet.rows, y: at.y, width: at.width / sheet.rows, height: at.height }
    : { x: at.x, y: at.y + (row * at.height) / sheet.rows, width: at.width, height: at.height / sheet.rows };
}

export function colBox(at: Placement, sheet: Sheet, col: number): Box {
  return { x: at.x + (col * at.width) / sheet.cols, y: at.y, width: at.width / sheet.cols, height: at.height };
}

export function cellBox(at: Placement, sheet: Sheet, row: number, col: number): Box {
  return cellPlace(cells('', sheet, at), row, col);
}

/** The four seconds of a first cell: its terms one by one, then what they come to, which goes to its place. */
export const FIRST = 4;
const TERMS_FROM = 0.6;
const TOTAL_AT = 2.6;

export function sumMarks(sum: WrittenSum, title: string, g: Geometry, seconds: number, target: Box | null): Mark[] {
  const { x, y, width } = g.sum;
  const lines = sum.terms.length + (sum.rest ? 1 : 0);
  const each = (TOTAL_AT - TERMS_FROM) / Math.max(1, lines);
  const marks: Mark[] = [
    text('sum title', x, y, title, { ink: 'ink', opacity: evenly(seconds, 0, TERMS_FROM) }),
    text('sum over', x, y + LINE, sum.over, { opacity: evenly(seconds, 0, TERMS_FROM) }),
  ];
  const right = x + width;
  sum.terms.forEach((term, i) => {
    const opacity = evenly(seconds, TERMS_FROM + i * each, TERMS_FROM + (i + 0.8) * each);
    const line = y + (i + 2) * LINE;
    const middle = right - 64;
    marks.push(text(`term ${i}`, x, line, shortened(term.label, 10), { mono: true, opacity }));
    if (term.a && term.b) {
      marks.push(
        number(`term ${i} a`, middle - 76, line, term.a.value, term.a.site, term.a.index, { text: term.a.text, anchor: 'end', opacity }),
        text(`term ${i} times`, middle - 66, line, '×', { anchor: 'middle', opacity }),
        number(`term ${i} b`, middle, line, term.b.value, term.b.site, term.b.index, { text: term.b.text, anchor: 'end', opacity }),
      );
    }
    marks.push(text(`term ${i} product`, right, line, term.shown, { anchor: 'end', mono: true, ink: 'ink', opacity }));
  });
  if (sum.rest) {
    const opacity = evenly(seconds, TERMS_FROM + sum.terms.length * each, TOTAL_AT);
    const line = y + (sum.terms.length + 2) * LINE;
    marks.push(
      text('term rest', x, line, `the other ${sum.rest}`, { opacity }),
      text('term rest sum', right, line, sum.restShown, { anchor: 'end', mono: true, opacity }),
    );
  }
  const done = evenly(seconds, TOTAL_AT, TOTAL_AT + 0.3);
  const last = y + (lines + 2) * LINE + 4;
  marks.push(
    rect('sum rule', { x, y: last - LINE / 2 - 3, width, height: 1 }, 'ink', { opacity: done }),
    text('sum of all', x, last, 'together', { opacity: done }),
    number('sum total', right, last, sum.value, sum.site, sum.index, { text: sum.totalShown, anchor: 'end', ink: 'ink', strong: true, opacity: done }),
  );
  if (target) {
    // the total itself goes to its cell
    const go = clamp(evenly(seconds, TOTAL_AT + 0.3, FIRST - 0.1), 0, 1);
    const eased = go * go * (3 - 2 * go);
    if (go > 0 && go < 1) {
      marks.push(number('sum goes', right + (target.x + target.width / 2 - right) * eased, last + (target.y + target.height / 2 - last) * eased, sum.value, sum.site, sum.index, {
        text: sum.totalShown, anchor: 'end', ink: 'lit', strong: true,
      }));
    }
  }
  return marks;
}

/** Whether the first cell has come to its place. */
export function firstThere(seconds: number): boolean {
  return seconds >= FIRST - 0.1;
}

export function share(id: string, x: number, y: number, value: number, site: string, index: number[], more: Partial<TextMark> = {}): TextMark {
  return number(id, x, y, value, site, index, { text: percent(value), ...more });
}
