/** The tree as rows of cells: a piece that several branches share is as wide as all of them. Pure. */
import { leaves, pathTo, type Tree } from './tree';

export interface BranchCell {
  id: number;
  /** the branches that share it, from the first */
  from: number;
  span: number;
}

export interface Layout {
  leaves: number[];
  /** one a piece, from the first that was written */
  rows: BranchCell[][];
}

export function layout(tree: Tree): Layout {
  const ends = leaves(tree);
  const rows: BranchCell[][] = [];
  ends.forEach((leaf, column) => {
    pathTo(tree, leaf).forEach((id, depth) => {
      const row = (rows[depth] ??= []);
      const last = row.at(-1);
      if (last?.id === id) last.span++;
      else row.push({ id, from: column, span: 1 });
    });
  });
  return { leaves: ends, rows };
}

/** A row's cells and the gaps between them, so that every column has something. */
export function filled(row: readonly BranchCell[], columns: number): (BranchCell | { id: null; from: number; span: number })[] {
  const cells: (BranchCell | { id: null; from: number; span: number })[] = [];
  let edge = 0;
  for (const cell of row) {
    if (cell.from > edge) cells.push({ id: null, from: edge, span: cell.from - edge });
    cells.push(cell);
    edge = cell.from + cell.span;
  }
  if (edge < columns) cells.push({ id: null, from: edge, span: columns - edge });
  return cells;
}
