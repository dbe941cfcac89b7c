import { describe, expect, it } from 'vitest';
import { percent, short } from '../../charts/format';
import { STOPS } from '../stops';
import { cellPlace, cellShown, frameAt, progressOf, startOf, still, stepAt, type CellsMark, type Frame, type Mark, type Plan, type TextMark } from './frame';
import { hit, mainMark } from './hit';
import { madeUp, valueOf, type Shape } from './made-up';
import { loadMaterial, shownPositions, type Material } from './material';
import { planOf } from './plan';

const SHAPES: [string, Shape][] = [
  ['turned positions, gated', { rotary: true, gated: true, n: 5 }],
  ['learned positions, plain', { rotary: false, gated: false, n: 6 }],
  ['a long text, one head', { rotary: true, gated: false, n: 40, n_head: 2, n_layer: 3 }],
  ['one piece', { rotary: true, gated: true, n: 1, n_layer: 3 }],
];

const known = new Map<string, Promise<Material>>();

async function film(shape: Shape, width = 840, block: number | null = 2): Promise<{ plan: Plan; material: Material }> {
  const key = JSON.stringify([shape, block]);
  const found = known.get(key) ?? make(shape, block);
  known.set(key, found);
  const material = await found;
  return { plan: planOf(material, width), material };
}

async function make(shape: Shape, block: number | null): Promise<Material> {
  return loadMaterial(madeUp(shape), { block, head: 1, pos: shape.n - 1, drawn: {} });
}

function times(plan: Plan, step = 0.6): number[] {
  return Array.from({ length: Math.floor(plan.lasts / step) }, (_, i) => i * step);
}

const cellsOf = (frame: Frame): CellsMark[] => frame.marks.filter((mark) => mark.kind === 'cells');
const textOf = (frame: Frame): TextMark[] => frame.marks.filter((mark) => mark.kind === 'text');

describe.each(SHAPES)('with %s', (_, shape) => {
  it('the same time gives the same frame, whatever was before', async () => {
    const { plan } = await film(shape);
    const again = planOf(await make(shape, 2), 840);
    const chosen = times(plan, 4.3);
    const forward = chosen.map((t) => JSON.stringify(frameAt(plan, t)));
    const backward = [...chosen].reverse().map((t) => JSON.stringify(frameAt(plan, t))).reverse();
    expect(backward).toEqual(forward);
    expect(chosen.map((t) => JSON.stringify(frameAt(again, t)))).toEqual(forward);
  });

  it.each([840, 358])('every cell is the number of its place, at %d px', async (width) => {
    const { plan } = await film(shape, width);
    const seen = new Set<unknown>();
    const wrong: string[] = [];
    for (const t of times(plan, 1.1)) {
      for (const mark of cellsOf(frameAt(plan, t))) {
        for (const sheet of [mark.sheet, mark.next]) {
          if (!sheet || seen.has(sheet)) continue;
          seen.add(sheet);
          expect(sheet.data.length).toBe(sheet.rows * sheet.cols);
          for (let row = 0; row < sheet.rows; row++) {
            for (let col = 0; col < sheet.cols; col++) {
              const index = sheet.index(row, col);
              if (sheet.data[row * sheet.cols + col] !== valueOf(sheet.site, index)) wrong.push(`${sheet.site} ${index.join()}`);
            }
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(seen.size).toBeGreaterThan(20);
  });

  it('every number that is written is the one of its place, and says so', async () => {
    const { plan, material } = await film(shape);
    let checked = 0;
    const sums = new Map(Object.values(material.sums).map((sum) => [`${sum.site}:${sum.index.join()}`, sum.totalShown]));
    for (const t of times(plan)) {
      for (const mark of textOf(frameAt(plan, t))) {
        if (mark.value === undefined) continue;
        checked++;
        const place = `${mark.site}:${mark.index?.join()}`;
        expect([short(mark.value), percent(mark.value), sums.get(place)], `${mark.id} ${place}`).toContain(mark.text);
        if (mark.site && !sums.has(place)) expect(mark.value, `${mark.id} ${place}`).toBe(valueOf(mark.site, mark.index ?? []));
      }
    }
    expect(checked).toBeGreaterThan(100);
  });

  it('digits without a place are names, counts, or parts of a sum that closes as printed', async () => {
    const { plan, material } = await film(shape);
    const names = new Set([...material.pieces.map((piece) => String(piece.id)), '0', String(material.config.n_layer - 1)]);
    for (const t of times(plan)) {
      for (const mark of textOf(frameAt(plan, t))) {
        if (mark.value !== undefined || !/\d/.test(mark.text)) continue;
        const named = names.has(mark.text) || /^(term|sum title|others|left out|lens depth|parts letter)/.test(mark.id);
        expect(named, `${mark.id}: ${mark.text}`).toBe(true);
      }
    }
    for (const sum of Object.values(material.sums)) {
      const number = (text: string): number => Math.round(Number(text.replace('−', '-').replace(/,/g, '')) * 1e9);
      const parts = [...sum.terms.map((term) => term.shown), ...(sum.rest ? [sum.restShown] : [])].reduce((all, text) => all + number(text), 0);
      expect(parts, sum.site).toBe(number(sum.totalShown));
    }
  });

  it('nothing jumps: what stays moves a little, and opacities change a little', async () => {
    const { plan } = await film(shape);
    const step = 0.04;
    const jumps: string[] = [];
    const where = (mark: Mark): { x: number; y: number } => (mark.kind === 'cells' ? cellPlace(mark, 0, 0) : mark);
    let before: Frame | null = null;
    for (let t = 0; t <= plan.lasts; t += step) {
      const frame = frameAt(plan, t);
      const old = new Map((before?.marks ?? []).map((mark) => [`${mark.kind} ${mark.id}`, mark]));
      for (const mark of frame.marks) {
        const was = old.get(`${mark.kind} ${mark.id}`);
        if (!was) continue;
        const [a, b] = [where(was), where(mark)];
        const [far, faded] = [Math.hypot(a.x - b.x, a.y - b.y), Math.abs(was.opacity - mark.opacity)];
        if (far >= 50 || faded >= 0.75) jumps.push(`${mark.id} at ${t.toFixed(2)}: ${far.toFixed(0)} px, ${faded.toFixed(2)}`);
      }
      before = frame;
    }
    expect(jumps).toEqual([]);
  });

  it('starts at any of the twelve stops', async () => {
    const { plan } = await film(shape, 840, 1);
    for (const stop of STOPS) {
      const at = startOf(plan, stop.id);
      expect(at, stop.id).not.toBeNull();
      expect(frameAt(plan, at ?? 0).stop).toBe(stop.id);
    }
    expect(plan.scenes[0]?.stop).toBe('text');
    expect(plan.scenes.at(-1)?.stop).toBe('draw');
  });

  it('a first cell takes four seconds, the rest two at most; the whole a minute and a half', async () => {
    const { plan } = await film(shape);
    for (const scene of plan.scenes) {
      if (scene.id.endsWith(' first')) expect(scene.lasts, scene.id).toBe(4);
      else expect(scene.lasts, scene.id).toBeLessThanOrEqual(4);
      if (scene.id.endsWith(' rest')) expect(scene.lasts, scene.id).toBeLessThanOrEqual(2);
    }
    expect(plan.scenes.filter((scene) => scene.id.endsWith(' first')).length).toBeGreaterThanOrEqual(6);
    expect(plan.lasts).toBeLessThan(95);
  });

  it('a step is a still: all its motion is done', async () => {
    const { plan } = await film(shape);
    plan.scenes.forEach((scene, step) => {
      const frame = frameAt(plan, still(plan, step));
      expect(frame.step).toBe(step);
      for (const mark of cellsOf(frame)) {
        expect([0, 1], `${scene.id} ${mark.id} mix`).toContain(mark.mix);
        expect([0, 1], `${scene.id} ${mark.id} move`).toContain(mark.move);
        expect([0, 1], `${scene.id} ${mark.id} shown`).toContain(mark.shown);
      }
      expect(JSON.stringify(frame.marks)).toBe(JSON.stringify(frameAt(plan, scene.end - 0.011).marks));
    });
    expect(stepAt(plan, plan.lasts)).toBe(plan.scenes.length - 1);
    expect(frameAt(plan, 1e9)).toEqual(frameAt(plan, plan.lasts));
    expect(frameAt(plan, -5)).toEqual(frameAt(plan, 0));
  });

  it('says what happens in at most forty words, and draws inside its picture', async () => {
    for (const width of [840, 358]) {
      const { plan } = await film(shape, width);
      for (const scene of plan.scenes) {
        const words = scene.words.map((part) => (typeof part === 'string' ? part : ' 1 ')).join('').split(/\s+/).filter(Boolean);
        expect(words.length, scene.id).toBeLessThanOrEqual(40);
        if (scene.id !== 'numbered' && scene.id !== 'text' && scene.id !== 'cut') {
          for (const mark of frameAt(plan, scene.end - 0.01).marks) {
            if (mark.kind === 'text' || mark.opacity === 0) continue;
            const box = mark.kind === 'cells' ? (mark.to && mark.move === 1 ? mark.to : mark.at) : mark;
            expect(box.x + box.width, `${scene.id} ${mark.id} at ${width}`).toBeLessThanOrEqual(plan.width + 1);
            expect(box.y + box.height, `${scene.id} ${mark.id} at ${width}`).toBeLessThanOrEqual(plan.height + 1);
          }
        }
      }
    }
  });
});

it('cells come one by one, rows one after another, and the first is there before them', async () => {
  const { plan } = await film({ rotary: true, gated: true, n: 5 });
  const at = (plan.scenes.find((scene) => scene.id === 'scores rest')?.start ?? 0) + 0.5;
  const scores = cellsOf(frameAt(plan, at)).find((mark) => mark.id === 'scores c');
  if (!scores) throw new Error('no scores');
  const seen = Array.from({ length: 25 }, (_, i) => cellShown(scores, Math.floor(i / 5), i % 5));
  expect(seen[0]).toBe(1);
  expect(seen.filter((share) => share > 0).length).toBeLessThan(12);
  expect(seen[scores.first ?? -1]).toBe(1);
  expect(progressOf({ order: 'rows', sheet: scores.sheet }, 0.3, 0, 4)).toBe(progressOf({ order: 'rows', sheet: scores.sheet }, 0.3, 0, 0));
});

it('keys stand on their side above the scores, their shared axis as long as the queries are wide', async () => {
  const { plan } = await film({ rotary: true, gated: true, n: 5 });
  const marks = new Map(cellsOf(frameAt(plan, still(plan, plan.scenes.findIndex((scene) => scene.id === 'scores first')))).map((mark) => [mark.id, mark]));
  const [a, b, c] = ['scores a', 'scores b', 'scores c'].map((id) => marks.get(id));
  if (!a || !b || !c) throw new Error('a product has three pictures');
  expect([b.at.height, b.at.x, b.at.width]).toEqual([a.at.width, c.at.x, c.at.width]);
  expect(b.at.y + b.at.height).toBeLessThan(c.at.y);
  expect(a.at.x + a.at.width).toBeLessThan(c.at.x);
  // cell (key 3, dimension 2) of K stands in column 3, row 2
  const place = cellPlace(b, 3, 2);
  expect(place.x).toBeCloseTo(b.at.x + (3 / 5) * b.at.width, 6);
  expect(place.y).toBeCloseTo(b.at.y + (2 / 8) * b.at.height, 6);
});

it('what stands under a point is found, and what is between two numbers is not', async () => {
  const { plan } = await film({ rotary: true, gated: true, n: 5 });
  const index = plan.scenes.findIndex((scene) => scene.id === 'softmax');
  const frame = frameAt(plan, still(plan, index));
  const main = mainMark(frame);
  if (!main) throw new Error('no main picture');
  const box = cellPlace(main, 4, 2);
  const found = hit(frame, box.x + box.width / 2, box.y + box.height / 2);
  expect(found).toMatchObject({ site: 'blocks.2.attn.pattern', index: [1, 4, 2], value: Math.fround(0.2) });
  const midway = frameAt(plan, (plan.scenes[index]?.start ?? 0) + 1);
  const moving = cellsOf(midway).find((mark) => mark.id === 'scores c');
  const between = Array.from({ length: 5 }, (_, row) => (moving ? progressOf(moving, moving.mix, row, 0) : 0)).findIndex((p) => p > 0 && p < 1);
  const there = moving && cellPlace(moving, between, 0);
  expect(there && hit(midway, there.x + 3, there.y + 3)).toBeNull();
});

it('of a long text the first piece and those up to the followed one are shown', () => {
  expect(shownPositions(10, 9)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const far = shownPositions(1000, 700);
  expect([far.length, far[0], far[1], far.at(-1)]).toEqual([16, 0, 686, 700]);
  expect(shownPositions(1000, 3)).toEqual(Array.from({ length: 16 }, (_, i) => i));
});

it('a chosen column stands for itself alone', async () => {
  const { material } = await film({ rotary: true, gated: false, n: 40, n_head: 2, n_layer: 3 });
  expect(material.pieces.length).toBe(16);
  const all = planOf(material, 840).scenes.find((scene) => scene.title === 'Every query with every key');
  expect(all?.words.map((part) => (typeof part === 'object' && 'count' in part ? part.count : part)).join('')).toBe('16 × 16 of all 40 × 40, each a sum like the first.');
  expect(material.sites['attn.qk'].perCell).toBe(1);
  expect(material.sites['mlp.post'].perCell).toBe(3);
  expect(material.sites['attn.pattern'].index(15, 1)).toEqual([1, 39, 25]);
});

it('without a chosen block it is the head that looks back most strongly', async () => {
  const material = await loadMaterial(madeUp({ rotary: true, gated: true, n: 5 }), { block: null, head: 3, pos: 4, drawn: {} });
  expect([material.block, material.head]).toEqual([2, 1]);
});
