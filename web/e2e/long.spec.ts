/** Squares of a long text: as a whole a cell a pixel, each one real element; around what is meant, a part that can be read;
 * all of it the engine's numbers, and little of it moved. */
import type { Locator, Page } from '@playwright/test';
import { percent, short } from '../src/charts/format';
import { expect, test, type Engine } from './server';

const SENTENCE = 'The robots will bring peace to the people of the city and then they will go home again before the sun';
const WORDS = Array.from({ length: 60 }, () => SENTENCE).join(' ').split(' ').slice(0, 1000).join(' ');
const [BLOCK, HEAD] = [3, 2];
/** of the whole page with one of these stages open, and of a walk about in it */
const MOST_BYTES = 8_000_000;
/** device pixels along a side of a canvas */
const LARGEST = 4096;

interface Found {
  x: number;
  y: number;
  index: number[];
  value: number;
}

const at = (site: string): string => `blocks.${BLOCK}.${site}`;
const whole = (stage: Locator): Locator => stage.locator('.overview .layer:not([inert]) [aria-roledescription=matrix]');
const part = (stage: Locator): Locator => stage.locator('.part .layer:not([inert]) [aria-roledescription=matrix]');

function cell(picture: Locator, row: number, col: number): Promise<Found> {
  return picture.evaluate((element, [r, c]) => {
    const found = (element as unknown as { __cutaway: { cell(row: number, col: number): Found } }).__cutaway.cell(r ?? 0, c ?? 0);
    // infinities do not travel
    return { ...found, value: Number.isFinite(found.value) ? found.value : -1e30 };
  }, [row, col]);
}

function size(picture: Locator): Promise<{ rows: number; cols: number }> {
  return picture.evaluate((element) => {
    const { rows, cols } = (element as unknown as { __cutaway: { rows: number; cols: number } }).__cutaway;
    return { rows, cols };
  });
}

async function opened(page: Page, site: string, stage: 'pattern' | 'scores', more: Record<string, string> = {}, text = WORDS): Promise<Locator> {
  await page.goto(`${site}/?${new URLSearchParams({ text, block: String(BLOCK), head: String(HEAD), open: stage, ...more })}`);
  const found = page.locator(`[data-stage=${stage}]`);
  await expect(part(found)).toBeVisible({ timeout: 60_000 });
  await expect(whole(found)).toBeVisible();
  await page.waitForLoadState('networkidle');
  return found;
}

async function same(engine: Engine, name: string, all: readonly Found[], text = WORDS): Promise<void> {
  // −∞ where a query may not look, and nowhere else
  for (const { value, index } of all) expect(value === -1e30, `${name} at ${index.join()}`).toBe(name === 'attn.attn_scores' && (index[2] ?? 0) > (index[1] ?? 0));
  const cells = all.filter(({ value }) => value !== -1e30);
  const real = await engine(text, cells.map(({ index }) => ({ site: at(name), index })));
  cells.forEach(({ value, index }, i) => {
    const own = real[i] ?? NaN;
    expect(Math.abs(value - own), `${name} at ${index.join()}: ${value}, the engine says ${own}`).toBeLessThanOrEqual(1e-5 + 1e-4 * Math.abs(own));
  });
}

/** The first query and key of the part. */
async function corner(stage: Locator): Promise<number[]> {
  return (await cell(part(stage), 0, 0)).index.slice(1);
}

async function hover(picture: Locator, { x, y }: Found): Promise<void> {
  await picture.hover({ position: { x, y } });
}

async function bytes(page: Page): Promise<() => number> {
  let moved = 0;
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (moved += encodedDataLength));
  return () => moved;
}

async function largest(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(...[...document.querySelectorAll('.pane canvas')].flatMap((canvas) => [(canvas as HTMLCanvasElement).width, (canvas as HTMLCanvasElement).height])));
}

test.beforeEach(({ machine }, { title }) => {
  test.skip((machine === 'default') === title.startsWith('every architecture'), 'the tiny models read fewer pieces');
  test.setTimeout(150_000);
});

test('every architecture: four steps of a square of 480 pieces, whole and in part, are the engine’s', async ({ page, site, engine }) => {
  // of the tiny models a letter is a piece
  const text = WORDS.slice(0, 480);
  const [block, head] = [1, 1];
  const stage = await opened(page, site, 'scores', { block: String(block), head: String(head), pin: `blocks.${block}.attn.pattern:${head},300,290` }, text);
  const all: { site: string; found: Found }[] = [];
  for (const [stop, step] of ['attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern'].entries()) {
    const name = `blocks.${block}.${step}`;
    if (stop) await stage.getByRole('slider', { name: 'From product to share' }).press('ArrowRight');
    for (const picture of [whole(stage), part(stage)]) {
      await expect(picture).toHaveAttribute('data-site', name);
      const { rows, cols } = await size(picture);
      for (const [r = 0, c = 0] of [[rows - 1, 0], [rows >> 1, cols >> 1], [rows - 2, cols >> 2]]) all.push({ site: name, found: await cell(picture, r, c) });
    }
  }
  await expect(whole(stage)).toHaveAttribute('data-per-pixel', '2');
  const shown = ((await stage.locator('.total .num').textContent()) ?? '').replace('−', '-');
  const [product = NaN] = await engine(text, [{ site: `blocks.${block}.attn.qk`, index: [head, 300, 290] }]);
  expect(Number(shown)).toBeCloseTo(product, shown.split('.')[1]?.length ?? 0);
  const seen = all.filter(({ found: { value } }) => value !== -1e30);
  expect(seen.length).toBeGreaterThan(20);
  const real = await engine(text, seen.map(({ site: name, found }) => ({ site: name, index: found.index })));
  seen.forEach(({ site: name, found }, i) => expect(Math.abs(found.value - (real[i] ?? NaN)), `${name} at ${found.index.join()}`).toBeLessThanOrEqual(1e-5 + 1e-4 * Math.abs(found.value)));
});

test('a pattern of a thousand pieces: every pixel is one of its elements, and the part beside it can be read', async ({ page, site, engine }) => {
  const moved = await bytes(page);
  const stage = await opened(page, site, 'pattern');
  const picture = whole(stage);
  const { rows, cols } = await size(picture);
  expect(rows).toBeLessThan(1000);
  expect(await picture.getAttribute('data-per-pixel')).toBe('3');
  await expect(stage.getByText('1 px = the largest of 9.')).toBeVisible();
  const cells = await Promise.all([[rows - 1, 0], [rows - 10, cols >> 1], [rows >> 1, 40], [rows >> 1, rows >> 1], [5, cols - 5]].map(([r = 0, c = 0]) => cell(picture, r, c)));
  cells.forEach(({ index: [, query = 0, key = 0] }, i) => {
    const [r = 0, c = 0] = [[rows - 1, 0], [rows - 10, cols >> 1], [rows >> 1, 40], [rows >> 1, rows >> 1], [5, cols - 5]][i] ?? [];
    expect([Math.floor(((query + 1) * rows - 1) / 1000), Math.floor(((key + 1) * cols - 1) / 1000)], 'an element of its own bin').toEqual([r, c]);
  });
  await same(engine, 'attn.pattern', cells);

  // pointing moves the part there, and its cells and names are those of the place
  const there = cells[1] as Found;
  await hover(picture, there);
  await expect(picture).toHaveAttribute('data-index', there.index.join());
  const [, query = 0, key = 0] = there.index;
  await expect.poll(() => corner(stage)).toEqual([Math.min(query - 11, 978), key - 10]);
  const [q = 0, k = 0] = await corner(stage);
  const inside = await Promise.all([[0, 0], [3, 17], [21, 19], [query - q, 10]].map(([r = 0, c = 0]) => cell(part(stage), r, c)));
  expect(inside.at(-1)?.index).toEqual(there.index);
  expect(inside[2]?.index).toEqual([HEAD, q + 21, k + 19]);
  await same(engine, 'attn.pattern', inside);
  const names = await stage.getByRole('listbox', { name: 'Queries' }).getByRole('option').evaluateAll((all) => all.map((each) => each.getAttribute('aria-label')));
  expect(names).toHaveLength(22);
  expect(names[0]).toMatch(new RegExp(`, position ${q}$`));

  // its row, strongest first
  const bar = stage.getByRole('list', { name: /Shares of the row/ }).getByRole('button').first();
  await expect(bar).toHaveAttribute('data-index', new RegExp(`^${HEAD},${query},`));
  const top = ((await bar.getAttribute('data-index')) ?? '').split(',').map(Number);
  const [share = NaN] = await engine(WORDS, [{ site: at('attn.pattern'), index: top }]);
  await expect(bar.locator('.num')).toHaveText(percent(share));
  // where the pointer was, the part stays, so that it can be pointed at itself
  await hover(part(stage), inside[1] as Found);
  await expect(part(stage)).toHaveAttribute('data-index', (inside[1] as Found).index.join());
  expect(await corner(stage)).toEqual([q, k]);
  expect(moved()).toBeLessThan(MOST_BYTES);
  expect(await largest(page)).toBeLessThanOrEqual(LARGEST);
});

test('a pattern of a thousand pieces: a pin holds the part, and keys reach what a pointer does', async ({ page, site, engine }) => {
  const stage = await opened(page, site, 'pattern');
  const picture = whole(stage);
  const { rows } = await size(picture);
  const there = await cell(picture, rows - 60, 200);
  await picture.click({ position: { x: there.x, y: there.y } });
  await expect(page).toHaveURL(new RegExp(`pin=${at('attn.pattern')}:${there.index.join()}`));
  await hover(picture, await cell(picture, 40, 10));
  await expect.poll(() => corner(stage)).not.toEqual([(there.index[1] ?? 0) - 11, (there.index[2] ?? 0) - 10]);
  await page.mouse.move(2, 2);
  await expect.poll(() => corner(stage)).toEqual([(there.index[1] ?? 0) - 11, (there.index[2] ?? 0) - 10]);
  // a link opens at the same place
  await page.reload();
  await expect(part(stage)).toBeVisible({ timeout: 60_000 });
  await expect.poll(() => corner(stage)).toEqual([(there.index[1] ?? 0) - 11, (there.index[2] ?? 0) - 10]);
  await page.waitForLoadState('networkidle');

  // arrows in the whole go from pixel to pixel, the part comes along; in the part from cell to cell, and on beyond its edge
  await picture.focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  const last = await cell(picture, (await size(picture)).rows - 1, 0);
  await page.keyboard.press('PageDown');
  await page.keyboard.press('Home');
  await expect(picture).toHaveAttribute('data-index', last.index.join());
  await expect.poll(() => corner(stage)).toEqual([978, 0]);
  await part(stage).focus();
  await page.keyboard.press('PageDown');
  await page.keyboard.press('End');
  for (let key = 20; key <= 23; key++) {
    await page.keyboard.press('ArrowRight');
    await expect(part(stage)).toHaveAttribute('data-index', `${HEAD},999,${key}`);
    await expect.poll(() => corner(stage)).toEqual([978, key - 19]);
  }
  const edge = await cell(part(stage), 21, 19);
  await same(engine, 'attn.pattern', [edge]);
  await expect(part(stage).locator('[aria-live]')).toContainText(short(edge.value));
  await page.keyboard.press('ArrowDown');
  await expect(part(stage)).toHaveAttribute('data-index', `${HEAD},999,23`);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`pin=${at('attn.pattern')}:${HEAD},999,23`));
  // names at its side choose another query, and go on beyond the part
  await stage.getByRole('listbox', { name: 'Queries' }).getByRole('option').first().click();
  await expect(page).toHaveURL(/pos=978/);
  await page.keyboard.press('ArrowUp');
  await expect(page).toHaveURL(/pos=977/);
});

test('a pattern of a thousand pieces, turned and with its first piece aside, is the same numbers; its part is its table', async ({ page, site, engine }) => {
  const stage = await opened(page, site, 'pattern', { switches: 'transpose,first-token-aside', pin: `${at('attn.pattern')}:${HEAD},700,0` });
  const picture = whole(stage);
  const { rows, cols } = await size(picture);
  const cells = await Promise.all([[0, cols - 1], [20, cols >> 1], [rows >> 1, cols - 9]].map(([r = 0, c = 0]) => cell(picture, r, c)));
  cells.forEach(({ index: [, query = 0, key = 0] }) => expect(key > 0 && key <= query).toBe(true));
  await same(engine, 'attn.pattern', cells);
  const [first, below] = [await cell(part(stage), 0, 5), await cell(part(stage), 3, 5)];
  expect([first.index[2], below.index[2]]).toEqual([0, 3]);
  expect(below.index[1]).toBe(first.index[1]);
  await same(engine, 'attn.pattern', [first, below]);
  await expect(stage.locator('.first span').nth(5)).toHaveText(String(Math.round(first.value * 100)));
  await stage.getByRole('button', { name: 'as table' }).click();
  const table = stage.getByRole('region', { name: /queries 69\d to 7\d\d, keys 0 to 21 \(the part shown\)/ });
  await expect(table.getByRole('row')).toHaveCount(21);
  await expect(table.getByRole('rowheader').first()).toHaveText(new RegExp(` ${first.index[1]! - 5}$`));
});

test('scores of a thousand pieces: four steps of the same cell, its product and its row are the engine’s', async ({ page, site, api, engine }) => {
  const moved = await bytes(page);
  const stage = await opened(page, site, 'scores', { pin: `${at('attn.pattern')}:${HEAD},600,594` });
  for (const [stop, name] of ['attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern'].entries()) {
    if (stop) await stage.getByRole('slider', { name: 'From product to share' }).press('ArrowRight');
    const cells: Found[] = [];
    for (const picture of [whole(stage), part(stage)]) {
      await expect(picture).toHaveAttribute('data-site', at(name));
      const { rows, cols } = await size(picture);
      for (const [r = 0, c = 0] of [[rows >> 1, cols >> 1], [rows - 1, 1], [2, cols - 3]]) cells.push(await cell(picture, r, c));
    }
    await same(engine, name, cells);
  }
  expect(moved()).toBeLessThan(2 * MOST_BYTES);
  expect(await largest(page)).toBeLessThanOrEqual(LARGEST);

  const [product = NaN] = await engine(WORDS, [{ site: at('attn.qk'), index: [HEAD, 600, 594] }]);
  await expect(stage.locator('.heading')).toContainText(`= ${short(product)}`);
  const shown = ((await stage.locator('.total .num').textContent()) ?? '').replace('−', '-');
  expect(Number(shown)).toBeCloseTo(product, shown.split('.')[1]?.length ?? 0);
  const scores = [...(await api.values(await api.trace(WORDS), at('attn.attn_scores'), { head: HEAD, q_pos: '600:601' })).data];
  const max = Math.max(...scores);
  await expect(stage.locator('tfoot')).toContainText(`max ${short(max)}`);
  await expect(stage.locator('tfoot')).toContainText(`sum ${short(scores.reduce((sum, each) => sum + Math.exp(each - max), 0))}`);
  // queries and keys of the part
  for (const [name, row, index] of [['attn.rot_q', 8, [600, HEAD, 30]], ['attn.rot_k', 30, [594, 0, 30]]] as const) {
    const picture = stage.locator(`.product [data-site="${at(name)}"]`);
    const found = await cell(picture, row, name === 'attn.rot_q' ? 30 : 10);
    expect(found.index).toEqual([...index]);
    await same(engine, name, [found]);
  }
});

test('scores of a thousand pieces: the mask is changed in one row, with two small changes', async ({ page, site, api }) => {
  const asked: string[] = [];
  page.on('request', (request) => request.method() === 'POST' && request.url().endsWith('/api/traces') && asked.push(request.postData() ?? ''));
  const stage = await opened(page, site, 'scores', { pos: '600', switches: 'scores-at-3' });
  await stage.getByRole('radio', { name: 'softmax first, then zeros' }).check();
  await expect(stage.getByText(/The softmax has already divided/)).toBeVisible({ timeout: 60_000 });
  await expect(stage.getByText('the mask is changed in that row alone')).toBeVisible();
  const { interventions } = JSON.parse(asked.at(-1) ?? '{}') as { interventions: { site: string; action: string; selection: Record<string, unknown> }[] };
  expect(interventions).toEqual([
    { site: at('attn.attn_scores'), action: 'skip', selection: { head: HEAD, q_pos: 600 } },
    { site: at('attn.pattern'), action: 'zero', selection: { head: HEAD, q_pos: 600, k_pos: { start: 601, stop: 1000 } } },
  ]);
  // shares of all keys, later ones too, then zeros: by the scores before the mask
  const trace = await api.trace(WORDS);
  const scaled = (await api.values(trace, at('attn.qk_scaled'), { head: HEAD, q_pos: '600:601' })).data;
  const max = scaled.reduce((top, each) => Math.max(top, each), -Infinity);
  const sum = scaled.reduce((all, each) => all + Math.exp(each - max), 0);
  await expect.poll(() => corner(stage)).toEqual([592, 590]);
  const [own, later] = [await cell(part(stage), 8, 10), await cell(part(stage), 8, 14)];
  expect(own.index).toEqual([HEAD, 600, 600]);
  await expect.poll(async () => (await cell(part(stage), 8, 10)).value).toBeCloseTo(Math.exp((scaled[600] ?? 0) - max) / sum, 6);
  expect(later.value).toBe(0);
  const kept = scaled.subarray(0, 601).reduce((all, each) => all + Math.exp(each - max), 0) / sum;
  await expect(stage.getByText(/The softmax has already divided/)).toContainText(`sums to ${short(kept)}`);
  // a second run's numbers are looked at, not followed
  await part(stage).click({ position: { x: 40, y: 40 } });
  await expect(page).not.toHaveURL(/pin=/);
  await stage.getByRole('radio', { name: 'as the model does it' }).check();
  const row = (await api.values(trace, at('attn.pattern'), { head: HEAD, q_pos: '600:601' })).data;
  await expect.poll(async () => (await cell(part(stage), 8, 10)).value).toBeCloseTo(row[600] ?? NaN, 6);
});

test('a mask that was left out is no longer drawn: later keys are there', async ({ page, site }) => {
  const changes = `skip@${at('attn.attn_scores')}`;
  const stage = await opened(page, site, 'pattern', { changes, pin: `${at('attn.pattern')}:${HEAD},300,320` });
  await expect(stage.getByText(/The row sums to/)).not.toContainText('cannot look at');
  const later = await cell(part(stage), 11, 10);
  expect(later.index).toEqual([HEAD, 300, 320]);
  expect(later.value).toBeGreaterThan(0);
});

test('a text of three hundred pieces: every element has its pixel', async ({ page, site, engine }) => {
  const text = WORDS.split(' ').slice(0, 300).join(' ');
  const stage = await opened(page, site, 'pattern', {}, text);
  const picture = whole(stage);
  const { rows, cols } = await size(picture);
  expect([rows, cols]).toEqual([300, 300]);
  expect(await picture.getAttribute('data-per-pixel')).toBe('1');
  const cells = await Promise.all([[299, 0], [150, 149], [77, 76]].map(([r = 0, c = 0]) => cell(picture, r, c)));
  expect(cells.map(({ index }) => index)).toEqual([[HEAD, 299, 0], [HEAD, 150, 149], [HEAD, 77, 76]]);
  await same(engine, 'attn.pattern', cells, text);
});

test('on a narrow screen the part stands below the whole, and both are inside', async ({ page, site }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const id of ['pattern', 'scores'] as const) {
    const stage = await opened(page, site, id);
    const [a, b] = [await whole(stage).boundingBox(), await part(stage).boundingBox()];
    expect(b?.y ?? 0).toBeGreaterThan((a?.y ?? 0) + (a?.height ?? 0));
    for (const box of [a, b]) expect((box?.x ?? 0) >= 0 && (box?.x ?? 0) + (box?.width ?? 0) <= 390).toBe(true);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  }
});

test('the map of a thousand pieces comes block by block, and a thumbnail’s cells are elements of its head', async ({ page, site, engine }) => {
  const moved = await bytes(page);
  await page.goto(`${site}/?${new URLSearchParams({ text: WORDS, panel: 'map' })}`);
  const map = page.locator('[data-panel=map]');
  await expect(map).toBeInViewport({ timeout: 60_000 });
  await expect(map.getByRole('application').first()).toBeVisible({ timeout: 60_000 });
  await expect(map.getByText('blocks have come')).toHaveCount(0, { timeout: 60_000 });
  const preview = map.locator('.preview [aria-roledescription=matrix]');
  await map.getByRole('application').first().focus();
  await page.keyboard.press('PageUp');
  await page.keyboard.press('Home');
  await expect(preview).toHaveAttribute('data-site', 'blocks.0.attn.pattern');
  const cells = await Promise.all([[11, 0], [7, 7], [11, 5]].map(([r = 0, c = 0]) => cell(preview, r, c)));
  const look = map.locator('.small [data-index]').first();
  const looked = ((await look.getAttribute('data-index')) ?? '').split(',').map(Number);
  expect(looked.slice(0, 2)).toEqual([0, 999]);
  const real = await engine(WORDS, [...cells.map(({ index }) => index), looked].map((index) => ({ site: 'blocks.0.attn.pattern', index })));
  cells.forEach(({ value }, i) => expect(Math.abs(value - (real[i] ?? NaN))).toBeLessThanOrEqual(1e-6 + 1e-4 * value));
  await expect(look).toHaveText(percent(real.at(-1)));
  expect(moved()).toBeLessThan(MOST_BYTES);
});
