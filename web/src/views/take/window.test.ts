import { expect, test } from 'vitest';
import { SvgPaper } from '../../charts/svg';
import { inSight, type Item } from './picture';
import { closedUp } from './take';

function box(top: number, bottom: number, left = 0, right = 100): Item {
  return {
    box: { left, top, right, bottom },
    svg: (paper, x, y) => paper.fillRect(left - x, top - y, right - left, bottom - top),
    canvas: () => undefined,
  };
}
function drawn(items: readonly Item[]): string {
  const paper = new SvgPaper();
  for (const item of items) item.svg(paper, 0, 0);
  return paper.body;
}
const WINDOW = { left: 0, top: 100, right: 100, bottom: 200 };

test('of what scrolls within a picture, what is in sight is taken', () => {
  expect(inSight(box(0, 90), WINDOW)).toEqual([]);
  expect(inSight(box(210, 300), WINDOW)).toEqual([]);
  const whole = box(120, 140);
  expect(inSight(whole, WINDOW)).toEqual([whole]);
});

test('what is cut off by the window is cut off in the picture', () => {
  const [cut] = inSight(box(50, 400), WINDOW);
  expect(cut?.box).toEqual(WINDOW);
  const svg = drawn(cut ? [cut] : []);
  expect(svg).toContain('<clipPath id="c0"><path d="M0 100h100v100h-100z"/></clipPath>');
  expect(svg.match(/<g\b/g)?.length).toBe(svg.match(/<\/g>/g)?.length);
});

test('a long empty stretch is closed up, and said', () => {
  const items = [box(0, 50), box(20_000, 20_020), box(20_030, 20_050), box(60, 80)];
  const closed = closedUp(items, 'rgb(0, 0, 0)');
  expect(closed.map((item) => [item.box.top, item.box.bottom])).toEqual([[0, 50], [128, 148], [158, 178], [60, 80], [80, 128]]);
  const svg = drawn(closed);
  expect(svg).toContain('y="128"');
  expect(svg).toContain('⋮');
});

test('a picture without one is left as it is', () => {
  const items = [box(0, 50), box(300, 320)];
  expect(closedUp(items, 'rgb(0, 0, 0)')).toEqual(items);
});
