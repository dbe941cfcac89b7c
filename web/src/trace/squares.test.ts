import { describe, expect, it } from 'vitest';
import { cutOf, elementOf, partOf, perCell, squaresOf, type HeadOf } from './squares';
import type { Selection } from './trace';
import type { Tensor } from './tensor';

const range = { min: 0, max: 1, absmax: 1, c: 1, whole: true };

/** A trace of n positions whose matrix has query × 1000 + key at each cell; what it was asked. */
function numbered(n: number): { of: (sites: string[]) => HeadOf; asked: { names: readonly string[]; selection: Selection }[] } {
  const asked: { names: readonly string[]; selection: Selection }[] = [];
  const span = (text: unknown): [number, number] => (typeof text === 'string' ? (text.split(':').map(Number) as [number, number]) : [0, n]);
  const trace = {
    nPos: n,
    passing: (names: readonly string[], selection: Selection): Promise<Tensor[]> => {
      asked.push({ names, selection });
      const [rows, cols] = [span(selection['q_pos']), span(selection['k_pos'])];
      if (selection['reduce']) {
        // two cells: near the first element, and the last
        const at = Int32Array.of(0, 1, n - 1, n - 1);
        return Promise.resolve(names.map((name) => ({ name, axes: [], shape: [1, 1, 2], data: Float32Array.of(1, (n - 1) * 1001), at, fullLast: n, range })));
      }
      const data: number[] = [];
      for (let q = rows[0]; q < rows[1]; q++) for (let k = cols[0]; k < cols[1]; k++) data.push(q * 1000 + k);
      const shape = [1, rows[1] - rows[0], cols[1] - cols[0]];
      return Promise.resolve(names.map((name) => ({ name, axes: [], shape, data: Float32Array.from(data), at: null, fullLast: n, range })));
    },
  };
  return { of: (sites) => ({ trace: trace as unknown as HeadOf['trace'], block: 0, head: 2, sites }), asked };
}

describe('squaresOf', () => {
  it('asks for what fits as it is, and for more reduced, with the place of each cell', async () => {
    const small = numbered(4);
    const [whole] = await squaresOf(small.of(['a']), 440);
    expect(small.asked).toEqual([{ names: ['a'], selection: { head: 2 } }]);
    expect(whole && [whole.rows, whole.at, elementOf(whole, 2, 3), perCell(whole)]).toEqual([4, null, [2, 3], 1]);
    const large = numbered(1000);
    const [square] = await squaresOf(large.of(['a']), 2, true);
    expect(large.asked).toEqual([{ names: ['a'], selection: { head: 2, reduce: 'absmax', bins: '2x2', skip_first: 'true' } }]);
    expect(square && [elementOf(square, 0, 0), elementOf(square, 0, 1), square.from]).toEqual([[0, 1], [999, 999], 1]);
  });

  it('asks once for each, and for those that are missing together', async () => {
    const { of, asked } = numbered(1000);
    await squaresOf(of(['a']), 2);
    await squaresOf(of(['a', 'b', 'c']), 2);
    await squaresOf(of(['c', 'a']), 2);
    expect(asked.map(({ names }) => names)).toEqual([['a'], ['b', 'c']]);
    await squaresOf(of(['a']), 2, true);
    expect(asked).toHaveLength(3);
  });

  it('keeps few of the many that one may look at', async () => {
    const { of, asked } = numbered(1000);
    const names = Array.from({ length: 40 }, (_, i) => `s${i}`);
    for (const name of names) await squaresOf(of([name]), 2);
    await squaresOf(of(['s39']), 2);
    expect(asked).toHaveLength(40);
    await squaresOf(of(['s0']), 2);
    expect(asked).toHaveLength(41);
  });
});

it('says how many elements the fullest cell stands for', () => {
  const square = { site: 'a', data: new Float32Array(), at: null, range };
  expect(perCell({ ...square, n: 1000, rows: 440, cols: 440, from: 0 })).toBe(9);
  expect(perCell({ ...square, n: 881, rows: 440, cols: 440, from: 1 })).toBe(6);
});

describe('parts', () => {
  it('are what lies there, to the end of the text', async () => {
    const { of, asked } = numbered(100);
    const part = await partOf(of(['a', 'b']), 80, 64, { k: 48, cols: 64 });
    expect(asked[0]?.selection).toEqual({ head: 2, q_pos: '80:100', k_pos: '48:100', ranges: 'false' });
    expect([part.rows, part.cols, part.data[1]?.[0], part.data[0]?.at(-1)]).toEqual([20, 52, 80_048, 99_099]);
    const cut = cutOf(part, 90, 60, 2, 3);
    expect(cut.data.map((each) => [...each])).toEqual([[90_060, 90_061, 90_062, 91_060, 91_061, 91_062], [90_060, 90_061, 90_062, 91_060, 91_061, 91_062]]);
    const row = await partOf(of(['a']), 5, 1);
    expect(asked[1]?.selection).toEqual({ head: 2, q_pos: '5:6', ranges: 'false' });
    expect([...(row.data[0] ?? [])].slice(0, 2)).toEqual([5000, 5001]);
  });
});
