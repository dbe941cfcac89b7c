import { describe, expect, it } from 'vitest';
import { spanOf } from './seen.svelte';

const NONE = { from: 0, to: 0 };

describe('the rows to draw', () => {
  it('are those in sight, and as many again on either side', () => {
    const span = spanOf(500, 540, 1000, NONE);
    expect(span.from).toBeLessThanOrEqual(460);
    expect(span.to).toBeGreaterThanOrEqual(580);
    expect(span.to - span.from).toBeLessThan(200);
  });

  it('never leave the text', () => {
    expect(spanOf(0, 40, 1000, NONE).from).toBe(0);
    expect(spanOf(970, 1000, 1000, NONE).to).toBe(1000);
    expect(spanOf(0, 3, 3, NONE)).toEqual({ from: 0, to: 3 });
  });

  it('stay the same while a little scrolling leaves enough on either side', () => {
    const first = spanOf(500, 540, 1000, NONE);
    expect(spanOf(505, 545, 1000, first)).toBe(first);
    expect(spanOf(first.to - 41, first.to - 1, 1000, first)).not.toBe(first);
    // at the ends nothing more is to be had
    const start = spanOf(0, 40, 1000, NONE);
    expect(spanOf(0, 40, 1000, start)).toBe(start);
  });

  it('always hold what is seen, wherever one scrolls to', () => {
    let span = NONE;
    for (const top of [0, 7, 300, 296, 12, 960, 955, 500, 20]) {
      span = spanOf(top, top + 40, 1000, span);
      expect(span.from).toBeLessThanOrEqual(top);
      expect(span.to).toBeGreaterThanOrEqual(top + 40);
    }
  });
});
