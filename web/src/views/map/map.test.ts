import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../trace/tensor';
import { boxOf, cellOf, largest, layoutOf, looksOf, looksOfLargest, moved, placeUnder, thumbOf } from './map';
import { headsAtOnce } from './patterns';

const SMOL = { nLayer: 30, nHead: 9, perGroup: 3 };
const GPT2 = { nLayer: 12, nHead: 12, perGroup: 1 };

function tensor(shape: number[], data: number[], at: number[] | null = null): Tensor {
  return {
    name: 't', axes: [], shape, data: Float32Array.from(data), at: at && Int32Array.from(at), fullLast: shape.at(-1) ?? 0,
    range: { min: null, max: null, absmax: null, c: null, whole: false },
  };
}

describe('layoutOf', () => {
  it('fits the width, and the height where it can', () => {
    for (const shape of [SMOL, GPT2, { nLayer: 32, nHead: 32, perGroup: 4 }, { nLayer: 1, nHead: 1, perGroup: 1 }]) {
      for (const [width, limit] of [[680, 560], [358, 5000], [1400, 700]] as const) {
        const layout = layoutOf(shape, width, limit);
        expect(layout.perColumn * layout.columns).toBeGreaterThanOrEqual(shape.nLayer);
        if (layout.pitch > 12) expect(layout.width).toBeLessThanOrEqual(width);
        if (layout.columns > 1) expect(layout.height).toBeLessThanOrEqual(limit);
      }
    }
  });
  it('puts blocks into columns where that makes them larger', () => {
    expect(layoutOf(SMOL, 680, 560).columns).toBe(2);
    expect(layoutOf(SMOL, 358, 5000)).toMatchObject({ columns: 1, pitch: 36 });
  });
});

describe('hit testing', () => {
  it('finds every thumbnail from its own middle, and nothing between the columns', () => {
    for (const layout of [layoutOf(SMOL, 680, 560), layoutOf(GPT2, 358, 5000)]) {
      for (let block = 0; block < layout.nLayer; block++) {
        for (let head = 0; head < layout.nHead; head++) {
          const { x, y, side } = boxOf(layout, { block, head });
          expect(placeUnder(layout, x + side / 2, y + side / 2)).toEqual({ block, head });
        }
      }
      expect(placeUnder(layout, 3, 60)).toBeNull();
      expect(placeUnder(layout, layout.width + 40, 60)).toBeNull();
      expect(placeUnder(layout, 100, 3)).toBeNull();
    }
  });
});

describe('moved', () => {
  it('goes by blocks down and heads across, and stays inside', () => {
    const layout = layoutOf(SMOL, 680, 560);
    expect(moved(layout, { block: 14, head: 8 }, 'ArrowDown')).toEqual({ block: 15, head: 8 });
    expect(moved(layout, { block: 29, head: 8 }, 'ArrowDown')).toEqual({ block: 29, head: 8 });
    expect(moved(layout, { block: 29, head: 8 }, 'ArrowRight')).toEqual({ block: 29, head: 8 });
    expect(moved(layout, { block: 3, head: 4 }, 'Home')).toEqual({ block: 3, head: 0 });
    expect(moved(layout, { block: 3, head: 4 }, 'x')).toBeNull();
  });
});

describe('cells', () => {
  const reduced = tensor([2, 1, 2], [0.1, 0.2, 0.3, 0.4], [0, 1, 0, 2, 3, 1, 3, 2]);
  it('are real elements, at their own query and key', () => {
    const thumb = thumbOf(reduced, 1);
    expect(Array.from(thumb.data)).toEqual([Math.fround(0.3), Math.fround(0.4)]);
    expect([cellOf(thumb, 0, 0), cellOf(thumb, 0, 1)]).toEqual([[3, 1], [3, 2]]);
    expect(largest([thumb])).toBe(Math.fround(0.4));
  });
});

describe('looksOf', () => {
  it('sets the first key aside and finds the strongest of the rest', () => {
    const looks = looksOf(tensor([2, 1, 4], [0.75, 0, 0.25, 0, 0.125, 0.5, 0.25, 0.125]));
    expect(looks).toEqual([{ key: 2, share: 0.25, first: 0.75 }, { key: 1, share: 0.5, first: 0.125 }]);
    expect(looksOf(tensor([1, 1, 1], [1]))).toEqual([{ key: 0, share: 1, first: 1 }]);
  });
  it('says the same of the largest share alone', () => {
    const largest = tensor([2, 1, 1], [0.25, 0.5], [2, 1]);
    expect(looksOfLargest(largest, tensor([2, 1, 1], [0.75, 0.125]))).toEqual([{ key: 2, share: 0.25, first: 0.75 }, { key: 1, share: 0.5, first: 0.125 }]);
  });
});

describe('headsAtOnce', () => {
  it('asks for no more than the server reads at once', () => {
    expect([300, 1000, 2000, 4096].map((n) => headsAtOnce(n, 9))).toEqual([9, 9, 4, 1]);
    for (let n = 201; n <= 4096; n += 5) expect(4 * n * n * headsAtOnce(n, 32)).toBeLessThanOrEqual(64 * 2 ** 20);
  });
});
