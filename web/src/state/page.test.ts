import { describe, expect, it } from 'vitest';
import { Client } from '../protocol/client';
import { Page } from './page.svelte';

/** A page at an address, in a window so wide, whose server never answers. */
function pageAt(search: string, narrow = false, seen: string[] = []): Page {
  const window = {
    location: { search, pathname: '/' },
    history: { pushState: (_: unknown, __: string, url: string) => seen.push(`push ${url}`), replaceState: (_: unknown, __: string, url: string) => seen.push(`replace ${url}`) },
    matchMedia: () => ({ matches: narrow }), addEventListener: () => undefined, removeEventListener: () => undefined,
  } as unknown as Window & typeof globalThis;
  const client = new Client({ fetch: (() => new Promise(() => undefined)) as unknown as typeof fetch });
  return new Page(client, window);
}

describe('Esc goes up one step at a time', () => {
  it('the pin, the panel’s own pane, the panel, the stage, the block, the stop', () => {
    const page = pageAt('?panel=change&open=change.sweep&block=3&stop=scores&pin=embed:0,1&t=2');
    const seen: string[] = [];
    for (let i = 0; i < 6; i++) {
      page.up();
      const { panel, open, block, stop, pin } = page.address;
      seen.push([pin.length, open, panel, block, stop].join());
      if (i === 2) page.go({ open: 'pattern' });
    }
    expect(seen).toEqual(['0,change.sweep,change,3,scores', '0,,change,3,scores', '0,,,3,scores', '0,,,3,scores', '0,,,,scores', '0,,,,']);
    expect(page.address.t).toBeNull();
  });
  it('the map and help, which stand over the rest, go first', () => {
    const page = pageAt('?panel=map&pin=embed:0,1');
    page.up();
    expect([page.address.panel, page.address.pin.length]).toEqual([null, 1]);
  });
});

it('what is being written is in the window’s address along the way, as one step of Back', () => {
  const seen: string[] = [];
  const page = pageAt('?text=a', false, seen);
  page.writes('a b', [1, 2], 1);
  page.writes('a b c', [1, 2, 3], 2);
  // the page itself follows at the end
  expect([page.address.text, page.address.written]).toEqual(['a', 0]);
  page.wrote('a b c d', null, 3);
  page.go({ block: 1 });
  expect(seen).toEqual([
    'push /?text=a+b&written=1&ids=1,2', 'replace /?text=a+b+c&written=2&ids=1,2,3', 'replace /?text=a+b+c+d&written=3', 'push /?text=a+b+c+d&block=1&written=3',
  ]);
  page.undo();
  page.undo();
  expect(page.address.text).toBe('a');
});

describe('panels', () => {
  it('one that stands beside the picture is told from one in the stage’s place', () => {
    expect([pageAt('?panel=find').side, pageAt('?panel=map').side, pageAt('').side]).toEqual(['find', null, null]);
  });
  it('a pane is its own panel’s', () => {
    expect([pageAt('?panel=change&open=change.sweep').pane, pageAt('?panel=find&open=change.sweep').pane, pageAt('?panel=find&open=pattern').pane]).toEqual(['change.sweep', null, null]);
  });
  it('another one takes the pane and the time of the first away, and leaves the stage', () => {
    const page = pageAt('?panel=play&open=play&t=3');
    page.besides('find');
    expect([page.address.panel, page.address.open, page.address.t]).toEqual(['find', null, null]);
    page.go({ open: 'pattern', block: 2 });
    page.besides(null);
    expect([page.address.panel, page.address.open, page.address.block]).toEqual([null, 'pattern', 2]);
  });
  it('what is found unfolds beside the panel; on a narrow screen in its place', () => {
    for (const [narrow, panel] of [[false, 'find'], [true, null]] as const) {
      const page = pageAt('?panel=find', narrow);
      page.unfold({ block: 23, head: 0, open: 'pattern' });
      expect([page.address.panel, page.address.open, page.address.block]).toEqual([panel, 'pattern', 23]);
    }
  });
});
