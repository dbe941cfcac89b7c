import { expect, it } from 'vitest';
import { onKey } from './keys';
import type { Page } from './page.svelte';
import { Past } from './past';

it('goes back over choices and forward again, until something else is chosen', () => {
  const past = new Past('');
  past.note('?block=1', 'push', 0);
  past.note('?block=2', 'push', 10);
  expect([past.step(-1), past.step(-1), past.step(-1)]).toEqual(['?block=1', '', null]);
  expect([past.step(1), past.step(1), past.step(1)]).toEqual(['?block=1', '?block=2', null]);
  past.step(-1);
  past.note('?block=9', 'push', 20);
  expect(past.step(1)).toBeNull();
  expect(past.step(-1)).toBe('?block=1');
});

it('typing without a pause is one step, with a pause two', () => {
  const past = new Past('?text=a');
  past.note('?text=ab', 'replace', 5000);
  past.note('?text=abc', 'replace', 5200);
  past.note('?text=abcd', 'replace', 8000);
  expect([past.step(-1), past.step(-1), past.step(-1)]).toEqual(['?text=abc', '?text=a', null]);
  expect(past.step(1)).toBe('?text=abc');
  // what is typed after an undo does not write over where it went back to
  past.note('?text=abcx', 'replace', 8100);
  expect(past.step(-1)).toBe('?text=abc');
});

it('what a panel sets when it opens belongs to its opening', () => {
  const past = new Past('');
  past.note('?panel=play', 'push', 0);
  past.note('?panel=play&open=play', 'replace', 30);
  expect(past.step(-1)).toBe('');
});

it('where a film stands is no step', () => {
  const past = new Past('?panel=play&open=play');
  past.note('?panel=play&open=play&t=3', 'replace', 5000);
  past.note('?panel=play&open=play&t=30.5', 'replace', 50_000);
  expect(past.step(-1)).toBeNull();
  past.note('?block=1', 'push', 60_000);
  expect(past.step(-1)).toBe('?panel=play&open=play&t=30.5');
});

it('written and taken back at once is no step', () => {
  const past = new Past('?text=a');
  past.note('?text=ab', 'replace', 5000);
  past.note('?text=a', 'replace', 5100);
  expect(past.step(-1)).toBeNull();
});

it('Back and forward in the browser move along it', () => {
  const past = new Past('');
  past.note('?block=1', 'push', 0);
  past.note('?block=2', 'push', 10);
  past.visited('?block=1', 20);
  expect(past.step(1)).toBe('?block=2');
  past.visited('?block=1', 30);
  expect(past.step(-1)).toBe('');
  past.visited('?elsewhere=1', 40);
  expect(past.step(-1)).toBe('');
});

it('keeps the last three hundred', () => {
  const past = new Past('?n=0');
  for (let n = 1; n <= 400; n++) past.note(`?n=${n}`, 'push', n);
  let steps = 0;
  while (past.step(-1) !== null) steps++;
  expect(steps).toBe(299);
});

it('the keys: Ctrl or Cmd with Z, Shift for the other way', () => {
  const asked: string[] = [];
  const page = { undo: () => asked.push('undo'), redo: () => asked.push('redo') } as unknown as Page;
  const press = (more: object): boolean => {
    let prevented = false;
    onKey(page, { key: 'z', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, target: null, preventDefault: () => (prevented = true), ...more } as unknown as KeyboardEvent);
    return prevented;
  };
  expect([press({ ctrlKey: true }), press({ metaKey: true, shiftKey: true, key: 'Z' }), press({ ctrlKey: true, key: 'y' }), press({ ctrlKey: true, altKey: true })]).toEqual([true, true, true, false]);
  expect(asked).toEqual(['undo', 'redo', 'redo']);
});
