import { describe, expect, it } from 'vitest';
import type { NextAnswer } from '../../../protocol/types';
import { Predictions, rowsInView } from './predictions';

function answer(position: number): NextAnswer {
  return { position, candidates: [{ token: { id: position * 10 } }] } as unknown as NextAnswer;
}

describe('Predictions', () => {
  it('asks three at once, each position once, and drops what has left the view', async () => {
    const asked: number[] = [];
    const open: (() => void)[] = [];
    const trace = { next: (position: number) => (asked.push(position), new Promise<NextAnswer>((resolve) => open.push(() => resolve(answer(position))))) };
    let known: ReadonlyMap<number, { token: { id: number } }> = new Map();
    const predictions = new Predictions(trace, (now) => (known = now));
    const settle = async (): Promise<void> => {
      open.splice(0).forEach((resolve) => resolve());
      await new Promise((resolve) => setTimeout(resolve));
    };
    predictions.want([0, 1, 2, 3, 4, 5]);
    expect(asked).toEqual([0, 1, 2]);
    predictions.want([4, 5]);
    await settle();
    expect(asked).toEqual([0, 1, 2, 4, 5]);
    await settle();
    predictions.want([0, 4, 5]);
    expect(asked).toEqual([0, 1, 2, 4, 5]);
    expect([...known].map(([at, best]) => [at, best.token.id])).toEqual([[0, 0], [1, 10], [2, 20], [4, 40], [5, 50]]);
  });
  it('goes on after a failure, and not after its end', async () => {
    const asked: number[] = [];
    const trace = { next: (position: number) => (asked.push(position), position === 0 ? Promise.reject(new Error('no')) : Promise.resolve(answer(position))) };
    const predictions = new Predictions(trace, () => undefined);
    predictions.want([0, 1, 2, 3, 4]);
    await new Promise((resolve) => setTimeout(resolve));
    expect(asked).toEqual([0, 1, 2, 3, 4]);
    predictions.stop();
    predictions.want([9]);
    expect(asked).not.toContain(9);
  });
});

describe('rowsInView', () => {
  it('gives the rows to be seen and half a screen around', () => {
    expect(rowsInView(0, 40, 20, 100)).toEqual([0, 1, 2]);
    expect(rowsInView(100, 40, 20, 100)).toEqual([4, 5, 6, 7]);
    expect(rowsInView(0, 400, 20, 3)).toEqual([0, 1, 2]);
  });
});
