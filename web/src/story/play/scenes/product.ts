/** A product at work: A to the left of C, B above C. Its first cell takes four seconds, with its sum written out; the rest
 * come together, in two at most.
 */
import type { Part } from '../../stops';
import { between, evenly, type Ink, type Mark, type Placement, type Scene } from '../frame';
import { above, type Geometry } from '../geometry';
import { cellBox, cells, colBox, FIRST, firstThere, headline, letter, outline, rowBox, sumMarks } from '../marks';
import type { WrittenSum } from '../material';
import type { Sheet } from '../sheet';

export interface Picture {
  sheet: Sheet;
  name: string;
  ink: Ink;
}

export interface Product {
  id: string;
  stop: string;
  a: Picture;
  /** null: it is not drawn */
  b: (Picture & { turned?: boolean }) | null;
  c: Picture;
  at: Placement;
  sum: WrittenSum | null;
  sumTitle: string;
  /** the written cell, in rows and columns of C */
  cell: { row: number; col: number };
  /** which row of A and which column of B make it; null: not marked */
  from: { row: number; col: number | null };
  first: { title: string; words: readonly Part[] };
  rest: { title: string; words: readonly Part[]; lasts?: number };
  /** what stands there besides, in both scenes: `seconds` count from the beginning of the first; `rest` is 0 to 1 */
  beside?: (rest: number, seconds: number) => Mark[];
  /** B is there already */
  standing?: boolean;
}

export function product(g: Geometry, p: Product): Scene[] {
  const scenes: Scene[] = [];
  const b = p.b && above(g, p.at);
  const first = p.cell.row * p.c.sheet.cols + p.cell.col;
  const factors = (shownB: number): Mark[] => [
    cells(`${p.id} a`, p.a.sheet, g.a), letter(`${p.id} a`, g.a, p.a.name, p.a.ink),
    ...(p.b && b
      ? [cells(`${p.id} b`, p.b.sheet, { ...b, turned: p.b.turned }, { opacity: shownB }), headline(`${p.id} b`, b, p.b.name, p.b.ink, shownB)]
      : []),
    letter(`${p.id} c`, p.at, p.c.name, p.c.ink),
  ];
  const sum = p.sum;
  if (sum) {
    const target = cellBox(p.at, p.c.sheet, p.cell.row, p.cell.col);
    scenes.push({
      id: `${p.id} first`, stop: p.stop, title: p.first.title, words: p.first.words, lasts: FIRST, main: p.c.sheet,
      draw: (s) => {
        const shownB = p.standing ? 1 : between(s, 0, 0.6);
        const mark = evenly(s, 0.3, 0.6);
        return [
          ...factors(shownB), ...(p.beside?.(0, s) ?? []),
          ...(firstThere(s) ? [cells(`${p.id} c`, p.c.sheet, p.at, { shown: 0, order: 'cells', first })] : []),
          outline(`${p.id} row`, rowBox(g.a, p.a.sheet, p.from.row), mark),
          ...(p.b && b && p.from.col !== null ? [outline(`${p.id} column`, p.b.turned ? rowBox({ ...b, turned: true }, p.b.sheet, p.from.col) : colBox(b, p.b.sheet, p.from.col), mark)] : []),
          outline(`${p.id} cell`, target, mark),
          ...sumMarks(sum, p.sumTitle, g, s, target),
        ];
      },
    });
  }
  const lasts = p.rest.lasts ?? 2;
  scenes.push({
    id: `${p.id} rest`, stop: p.stop, title: p.rest.title, words: p.rest.words, lasts, main: p.c.sheet,
    draw: (s) => {
      const rest = evenly(s, 0, lasts);
      return [
        ...factors(sum || p.standing ? 1 : between(s, 0, 0.6)), ...(p.beside?.(rest, FIRST + s) ?? []),
        cells(`${p.id} c`, p.c.sheet, p.at, { shown: rest, order: 'cells', first: sum ? first : null }),
        ...(sum ? sumMarks(sum, p.sumTitle, g, FIRST, null).map((mark) => ({ ...mark, opacity: mark.opacity * (1 - evenly(s, 0, 0.5)) })) : []),
      ];
    },
  });
  return scenes;
}
