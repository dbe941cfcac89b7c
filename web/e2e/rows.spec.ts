/** A long text: only the rows in sight are there, and wherever one goes they are the engine's. */
import type { Locator, Page } from '@playwright/test';
import { short } from '../src/charts/format';
import { open, settled } from './look';
import { expect, test } from './server';

const SENTENCE = 'The robots will bring peace to the people of the city and then they will go home again before the sun';
const WORDS = Array.from({ length: 60 }, () => SENTENCE).join(' ').split(' ').slice(0, 1000).join(' ');
/** of a whole view, and of each screen that one scrolls to */
const MOST_BYTES = 4_000_000;
/** Chromium refuses a canvas of 32,768 px; a third of it, so that three device pixels a CSS pixel do, too */
const TALLEST = 10_900;

interface Found {
  value: number;
  index: number[];
}

async function cell(picture: Locator, row: number, col: number): Promise<Found> {
  return picture.evaluate((element, [r, c]) => {
    const { value, index } = (element as unknown as { __cutaway: { cell(row: number, col: number): Found } }).__cutaway.cell(r ?? 0, c ?? 0);
    // what is not there is not a number
    return { value: Number.isFinite(value) ? value : -1e30, index };
  }, [row, col]);
}

async function tallest(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(...[...document.querySelectorAll('canvas')].map((canvas) => canvas.height)));
}

test('rows of the whole come as they are scrolled to, each the engine’s number', async ({ page, site, api, engine }) => {
  test.setTimeout(120_000);
  let moved = 0;
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (moved += encodedDataLength));
  await open(page, site, { text: WORDS });
  await settled(page);
  const whole = page.getByRole('region', { name: 'The whole model' });
  const [vectors, slats, options] = [whole.locator('[data-site="ln_final.out"]'), whole.locator('.slats'), whole.getByRole('option')];
  const n = Number(await options.first().getAttribute('aria-setsize'));
  expect(n).toBeGreaterThanOrEqual(1000);
  expect(moved).toBeLessThan(MOST_BYTES);
  expect(await options.count()).toBeLessThan(300);
  expect(await tallest(page)).toBeLessThan(TALLEST);

  const trace = await api.trace(WORDS);
  const tokens = trace.tokens.map((token) => token.display);
  for (const row of [500, n - 3, 40]) {
    const before = moved;
    // to the row, as a wheel or a drag of the bar would
    await vectors.evaluate((element, to) => element.closest('main')?.scrollTo(0, to * 20 - 300), row);
    await expect(whole.getByTitle(new RegExp(`^position ${row},`))).toHaveText(tokens[row] ?? '');
    await expect(whole.getByTitle(new RegExp(`^position ${row},`))).toBeInViewport();
    for (const [picture, col] of [[vectors, 7], [whole.locator('[data-site=embed]'), 30], [whole.locator('[data-site=logits]'), 11]] as const) {
      await expect.poll(async () => (await cell(picture, row, col)).value, `row ${row} is there`).toBeGreaterThan(-1e30);
      const found = await cell(picture, row, col);
      expect(found.index[0]).toBe(row);
      const [real] = await engine(WORDS, [{ site: (await picture.getAttribute('data-site')) ?? '', index: found.index }]);
      expect(Math.fround(found.value)).toBe(Math.fround(real ?? NaN));
    }
    await expect.poll(async () => (await cell(slats, row, 17)).value).toBeGreaterThan(0);
    const length = async (name: string): Promise<number> => Math.hypot(...(await api.values(trace, `blocks.17.${name}`, { pos: row })).data);
    expect((await cell(slats, row, 17)).value).toBeCloseTo((await length('attn_out')) / (await length('resid_pre')), 4);
    expect(await tallest(page)).toBeLessThan(TALLEST);
    expect(moved - before).toBeLessThan(MOST_BYTES);
  }
  // the table has all positions, those in sight in the document
  await whole.getByRole('button', { name: 'as table' }).click();
  const table = whole.getByRole('region', { name: /^Attention adds/ });
  await expect(table.getByRole('table')).toHaveAttribute('aria-rowcount', String(n + 1), { timeout: 30_000 });
  await table.evaluate((element) => element.scrollTo(0, element.scrollHeight));
  const last = table.getByRole('row').filter({ has: page.getByRole('rowheader', { name: tokens[n - 1] ?? '', exact: true }) }).last();
  await expect(last).toHaveAttribute('aria-rowindex', String(n + 1));
  const length = async (name: string): Promise<number> => Math.hypot(...(await api.values(trace, `blocks.17.${name}`, { pos: n - 1 })).data);
  await expect(last.getByRole('cell').nth(17)).toHaveText(short((await length('attn_out')) / (await length('resid_pre'))));
});

test('by keys: to the last row and its number, and up through the pieces', async ({ page, site, engine }) => {
  await open(page, site, { text: WORDS });
  await settled(page);
  const whole = page.getByRole('region', { name: 'The whole model' });
  const vectors = whole.locator('[data-site="ln_final.out"]');
  await vectors.focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('PageDown');
  const index = [999, 0];
  await expect(vectors).toHaveAttribute('data-index', /^999,/);
  await expect(vectors.locator('.cursor')).toBeInViewport();
  await expect.poll(async () => (await cell(vectors, 999, 1)).value).toBeGreaterThan(-1e30);
  const found = await cell(vectors, 999, 1);
  await expect(vectors.locator('[aria-live]')).toHaveText(/: [−\d.]/);
  await page.keyboard.press('Enter');
  await expect.poll(() => new URL(page.url()).searchParams.get('pin')).toBe(`ln_final.out:${found.index.join(',')}`);
  index[1] = found.index[1] ?? 0;
  const [real] = await engine(WORDS, [{ site: 'ln_final.out', index }]);
  expect(Math.fround(found.value)).toBe(Math.fround(real ?? NaN));

  // the selected piece can be reached wherever the rows stand, and arrows go on from it
  const selected = whole.getByRole('option', { selected: true });
  await selected.focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowUp');
  await expect.poll(() => new URL(page.url()).searchParams.get('pos')).toBe('996');
  await expect(selected).toBeFocused();
  await expect(selected).toBeInViewport();
});
