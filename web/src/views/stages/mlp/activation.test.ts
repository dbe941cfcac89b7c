import { describe, expect, it } from 'vitest';
import { curveOf } from './activation';

// from PyTorch's own functions, float64
const KNOWN: Record<string, [number, number][]> = {
  silu: [[-3, -0.1422776195], [0, 0], [1, 0.7310585786], [4, 3.9280551602]],
  relu: [[-3, 0], [0, 0], [2.5, 2.5]],
  gelu: [[-3, -0.0040496941], [-0.5, -0.1542687694], [1, 0.8413447461]],
  gelu_new: [[-3, -0.0036373920], [-0.5, -0.1542859933], [1, 0.8411919906]],
};

describe('activation curves', () => {
  for (const [name, pairs] of Object.entries(KNOWN)) {
    it(name, () => {
      const f = curveOf(name);
      for (const [x, y] of pairs) expect(f?.(x)).toBeCloseTo(y, 6);
    });
  }

  it('draws none that it does not know', () => expect(curveOf('mish')).toBeNull());
});
