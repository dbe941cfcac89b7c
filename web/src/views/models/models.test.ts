import { describe, expect, it } from 'vitest';
import type { ModelCosts, ParameterTableRow, TokenAnswer } from '../../protocol/types';
import { amount, bytes, lengthsOf, roomsOf, sameEnd, spansOf, squaresOf, storedAs, surpriseOf } from './models';

const row = (part: string, name: string, total: number): ParameterTableRow => ({ part, name, total }) as ParameterTableRow;
const piece = (text: string, special = false): TokenAnswer => ({
  id: 0, text, display: text, special, bytes: [...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
});
const pieces = (...texts: string[]): TokenAnswer[] => texts.map((text) => piece(text));

describe('sizes', () => {
  it('are written with three digits and a unit', () => {
    expect([bytes(96_576_768), bytes(999_960_000), bytes(1080), bytes(12)]).toEqual(['96.6 MB', '1.00 GB', '1.08 KB', '12 bytes']);
    expect([amount(134_515_008), amount(175_181_291_520), amount(25_344), amount(999_999_999)]).toEqual(['135 million', '175 billion', '25,344', '1.00 billion']);
  });

  it('how weights are stored is said of a name that tells', () => {
    expect(['SmolLM2 135M Instruct (Q4_1)', 'x.Q8_0', 'GPT-2 small', 'm-IQ2_XS.gguf'].map(storedAs)).toEqual([
      'Q4_1: each weight rounded to 4 bits', 'Q8_0: each weight rounded to 8 bits', '', 'IQ2_XS: each weight rounded to 2 bits',
    ]);
  });

  it('lengths end at the context, and none comes twice', () => {
    expect(lengthsOf(8192)).toEqual([1024, 2048, 3072, 4096, 5120, 6144, 7168, 8192]);
    expect(lengthsOf(4)).toEqual([1, 2, 3, 4]);
  });
});

describe('areas', () => {
  const rows = [row('embedding', 'table', 30), row('attention', 'query', 10), row('attention', 'output', 20), row('unembedding', 'shared', 0), row('MLP', 'up', 40)];

  it.each([false, true])('are in proportion and fill the whole (across: %s)', (across) => {
    const rooms = roomsOf(rows, 400, 200, across);
    expect(rooms.map(({ row: { name } }) => name)).toEqual(['table', 'query', 'output', 'up']);
    for (const room of rooms) {
      expect(room.width * room.height).toBeCloseTo((400 * 200 * room.row.total) / 100, 6);
      expect(room.x + room.width).toBeLessThanOrEqual(400 + 1e-9);
      expect(room.y + room.height).toBeLessThanOrEqual(200 + 1e-9);
    }
    const [, query, output] = rooms;
    expect(across ? [query?.y, output?.y] : [query?.x, output?.x]).toEqual(across ? [60, 60] : [120, 120]);
  });

  it('of models are squares of one scale, and their parts fill them', () => {
    const model = (total: number, parts: Record<string, number>): ModelCosts => ({ total, parts }) as unknown as ModelCosts;
    const [small, large] = squaresOf([model(4, { embedding: 1, MLP: 3 }), model(100, { MLP: 100 })], 50);
    expect([small?.side, large?.side]).toEqual([10, 50]);
    expect(small?.bands).toEqual([{ part: 'embedding', y: 0, height: 2.5 }, { part: 'MLP', y: 2.5, height: 7.5 }]);
  });
});

describe('two ways of cutting one text', () => {
  const a = pieces('The', ' robots', ' bring', '.');
  const b = [piece('<s>', true), ...pieces('The', ' ro', 'bots', ' bring.')];

  it('meet where both have an end', () => {
    expect(spansOf(a, b)).toEqual([
      { a: [0], b: [1], text: 'The', one: true },
      { a: [1], b: [2, 3], text: ' robots', one: false },
      { a: [2, 3], b: [4], text: ' bring.', one: false },
    ]);
    expect([0, 1, 2, 3].map((at) => sameEnd(a, b, at))).toEqual([1, 3, null, 4]);
  });

  it('count bytes, not letters', () => {
    const [first, second] = spansOf(pieces('é', 'a'), [{ ...piece('?'), bytes: 'c3' }, { ...piece('?'), bytes: 'a9' }, piece('a')]) ?? [];
    expect(first).toMatchObject({ a: [0], b: [0, 1], one: false });
    expect(second).toMatchObject({ a: [1], b: [2], one: true });
  });

  it('are not set side by side when they spell something else', () => {
    expect(spansOf(pieces('The'), pieces('Tho'))).toBeNull();
    expect(sameEnd(pieces('The'), pieces('Tho'), 0)).toBeNull();
  });

  it('a stretch surprises as its pieces do together, if all were predicted', () => {
    expect(surpriseOf([null, 1.5, 2], [1, 2])).toBe(3.5);
    expect(surpriseOf([null, 1.5], [0, 1])).toBeNull();
    expect(surpriseOf([0.5], [3])).toBeNull();
  });
});
