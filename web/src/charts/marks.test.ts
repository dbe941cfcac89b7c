import { describe, expect, it } from 'vitest';
import { binColumns } from './bins';
import { placesOf, type Drawn } from './marks';

const plain = (more: Partial<Drawn>): Drawn => ({ rows: 1000, first: 0, cols: 1000, indexOf: (row, col) => [2, row, col], realCol: null, fullCols: 1000, ...more });

describe('placesOf', () => {
  it('finds cells by their index, and asks for few of a million', () => {
    let asked = 0;
    const drawn = plain({ indexOf: (row, col) => (asked++, [2, row, col]) });
    expect(placesOf(['2,999,0', '2,5,7', '1,5,7', '2,1000,3', '2,5'], drawn)).toEqual([{ row: 999, col: 0, key: '2,999,0' }, { row: 5, col: 7, key: '2,5,7' }]);
    expect(asked).toBeLessThan(20);
  });

  it('finds them turned, from a later row on, and with a place to start from', () => {
    expect(placesOf(['2,5,7'], plain({ indexOf: (row, col) => [2, col, row] }))).toEqual([{ row: 7, col: 5, key: '2,5,7' }]);
    expect(placesOf(['0,130', '0,3'], plain({ rows: 128, first: 128, cols: 1, indexOf: (row) => [0, row] }))).toEqual([{ row: 130, col: 0, key: '0,130' }]);
    expect(placesOf(['2,310,22'], plain({ rows: 20, cols: 20, fullCols: 20, indexOf: (row, col) => [2, 300 + row, 10 + col] }))).toEqual([{ row: 10, col: 12, key: '2,310,22' }]);
  });

  it('finds one row’s and one column’s, which no index counts', () => {
    expect(placesOf(['4,0,9', '5,0,9'], plain({ rows: 1, cols: 64, fullCols: 64, indexOf: (_, col) => [4, 0, col] }))).toEqual([{ row: 0, col: 9, key: '4,0,9' }]);
    expect(placesOf(['2,9,3'], plain({ rows: 10, cols: 1, fullCols: 1, indexOf: (row) => [2, 9, row] }))).toEqual([{ row: 3, col: 0, key: '2,9,3' }]);
  });

  it('finds what a reduced picture shows, and nothing that it hides', () => {
    const [rows, cols, bins] = [3, 577, 100];
    const data = Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i * 12.9898) * 43758.5453 % 1);
    const { at } = binColumns(data, rows, cols, bins);
    const drawn = plain({ rows, cols: bins, fullCols: cols, indexOf: (row, col) => [row, col], realCol: (row, col) => at[row * bins + col] ?? -1 });
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < bins; col++) {
        const key = `${row},${at[row * bins + col]}`;
        expect(placesOf([key], drawn)).toEqual([{ row, col, key }]);
      }
      const hidden = Array.from({ length: cols }, (_, i) => i).filter((i) => !at.subarray(row * bins, (row + 1) * bins).includes(i));
      expect(placesOf(hidden.map((i) => `${row},${i}`), drawn)).toEqual([]);
    }
  });

  it('looks through a picture whose cells stand anywhere', () => {
    const at = [[3, 1], [0, 2]];
    const drawn = plain({ rows: 2, cols: 2, fullCols: 2, indexOf: (row, col) => [5, at[row]?.[col] ?? -1] });
    expect(placesOf(['5,2', '5,3', '5,9'], drawn)).toEqual([{ row: 0, col: 0, key: '5,3' }, { row: 1, col: 1, key: '5,2' }]);
  });
});
