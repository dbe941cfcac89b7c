import type { Locator, Page } from '@playwright/test';
import { expect, test } from './server';

/** The stages of attention: what they show equals what the API says, and the what-ifs are second runs of the model. */

interface Manifest { id: string; model: string; n_pos: number; tokens: { id: number; display: string }[] }
interface Explained { value: number | null; inputs: { name: string; values: number[] }[] }
interface Cell { x: number; y: number; index: number[]; value: number }
interface Change { site: string; action: string; selection: Record<string, unknown>; value?: unknown }

const TEXT = 'The robots will bring peace. The robots will bring';
const [BLOCK, HEAD] = [3, 2];
const at = (site: string): string => `blocks.${BLOCK}.${site}`;

async function traced(page: Page, site: string, interventions: Change[] = []): Promise<Manifest> {
  const models = await (await page.request.get(`${site}/api/models`)).json();
  const answer = await page.request.post(`${site}/api/traces`, { data: { model: models.default, text: TEXT, interventions } });
  expect(answer.ok()).toBe(true);
  return answer.json();
}

async function explained(page: Page, site: string, trace: Manifest, name: string, index: number[]): Promise<Explained> {
  return (await page.request.get(`${site}/api/traces/${trace.id}/explain?site=${name}&index=${index.join(',')}`)).json();
}

async function said(page: Page, site: string, trace: Manifest, name: string, index: number[]): Promise<number> {
  return Math.fround((await explained(page, site, trace, name, index)).value ?? -Infinity);
}

function cell(picture: Locator, row: number, col: number): Promise<Cell> {
  return picture.evaluate((element, [r, c]) => {
    const hook = (element as unknown as { __cutaway: { cell(row: number, col: number): Cell } }).__cutaway;
    return hook.cell(r ?? 0, c ?? 0);
  }, [row, col]);
}

const matrix = (stage: Locator, site: string): Locator => stage.locator(`.layer .matrix[data-site="${at(site)}"]`);
const total = (sum: Locator): Locator => sum.locator('.total .num');

const errors: string[] = [];
test.beforeEach(({ page }) => {
  errors.length = 0;
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
});
test.afterEach(() => expect(errors).toEqual([]));

async function open(page: Page, site: string, stage: string, more = ''): Promise<Locator> {
  await page.goto(`${site}/?block=${BLOCK}&head=${HEAD}&open=${stage}${more}`);
  const found = page.locator(`[data-stage=${stage}]`);
  await expect(found.getByRole('radiogroup', { name: 'Head' })).toBeVisible({ timeout: 30_000 });
  return found;
}

test('scores: four matrices under one slider, each with its own real values', async ({ page, site }) => {
  const trace = await traced(page, site);
  const stage = await open(page, site, 'scores');
  const slider = stage.getByRole('slider', { name: 'From product to share' });
  for (const [stop, name] of ['attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern'].entries()) {
    if (stop) await slider.press('ArrowRight');
    await expect(stage.locator('.layer:not([inert]) .matrix')).toHaveAttribute('data-site', at(name));
    for (const [query, key] of [[5, 4], [2, 2], [1, 6]] as const) {
      const shown = await cell(matrix(stage, name), query, key);
      expect(shown.index).toEqual([HEAD, query, key]);
      expect(Math.fround(shown.value)).toBe(await said(page, site, trace, at(name), shown.index));
    }
  }
  await expect(page).toHaveURL(/scores-at-3/);
  // the slider let go between two stops comes to rest on one
  await slider.evaluate((input: HTMLInputElement) => {
    input.value = '1.2';
    input.dispatchEvent(new Event('input', { bubbles: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
  await expect(page).toHaveURL(/scores-at-1/);
});

test('scores: pointing at a cell lights its query and key and reads out their product', async ({ page, site }) => {
  const trace = await traced(page, site);
  const stage = await open(page, site, 'scores');
  const picture = matrix(stage, 'attn.qk');
  const { x, y, value } = await cell(picture, 6, 3);
  await picture.hover({ position: { x, y } });
  await expect(stage.locator('.heading')).toContainText(`q of ${trace.tokens[6]?.display} · k of ${trace.tokens[3]?.display}`);
  const shown = (await total(stage).textContent())?.replace('−', '-') ?? '';
  const decimals = shown.split('.')[1]?.length ?? 0;
  expect(Number(shown)).toBeCloseTo(value, decimals);
  const bands = await stage.locator('.band').evaluateAll((all) => all.map((each) => [each.style.top, each.style.left]));
  expect(bands).toHaveLength(2);
  // the row as numbers: softmax's max and sum are those of the scores
  await stage.getByRole('slider').press('End');
  await picture.page().mouse.move(0, 0);
  const row = trace.n_pos - 1;
  const scores = (await explained(page, site, trace, at('attn.pattern'), [HEAD, row, 0])).inputs[0]?.values ?? [];
  const max = Math.max(...scores.map((each) => each ?? -Infinity));
  const sum = scores.reduce<number>((all, each) => all + Math.exp((each ?? -Infinity) - max), 0);
  await expect(stage.locator('tfoot')).toContainText(`max ${max.toPrecision(3)}`);
  await expect(stage.locator('tfoot')).toContainText(`sum ${sum.toPrecision(3)}`);
});

test('scores: without the division the second run’s own pattern is shown, and it is sharper', async ({ page, site }) => {
  const own = await traced(page, site);
  const root = Math.sqrt((await (await page.request.get(`${site}/api/models/${own.model}`)).json()).config.d_head);
  const other = await traced(page, site, [{ site: at('attn.qk_scaled'), action: 'scale', selection: { head: HEAD }, value: root }]);
  const stage = await open(page, site, 'scores', '&switches=scores-at-3&pos=6');
  await stage.getByRole('radio', { name: /without ÷/ }).check();
  await expect(stage.getByText(/Undivided, the scores lie/)).toBeVisible({ timeout: 30_000 });
  for (const [query, key] of [[6, 6], [6, 5], [9, 8]] as const) {
    const shown = Math.fround((await cell(matrix(stage, 'attn.pattern'), query, key)).value);
    expect(shown).toBe(await said(page, site, other, at('attn.pattern'), [HEAD, query, key]));
    expect(shown).not.toBe(await said(page, site, own, at('attn.pattern'), [HEAD, query, key]));
  }
  // its numbers are not the trace's: they are looked at, not followed
  await matrix(stage, 'attn.pattern').click({ position: { x: 5, y: 5 } });
  await expect(page).not.toHaveURL(/pin=/);
  await stage.getByRole('radio', { name: 'as the model does it' }).check();
  await expect.poll(async () => Math.fround((await cell(matrix(stage, 'attn.pattern'), 6, 6)).value)).toBe(await said(page, site, own, at('attn.pattern'), [HEAD, 6, 6]));
});

test('scores: a mask of zeros lets later pieces in; zeros afterwards leave rows that do not sum to 1', async ({ page, site }) => {
  const own = await traced(page, site);
  const stage = await open(page, site, 'scores', '&switches=scores-at-3');
  const row = async (query: number): Promise<number[]> => Promise.all(Array.from({ length: own.n_pos }, async (_, key) => (await cell(matrix(stage, 'attn.pattern'), query, key)).value));
  const sum = (values: number[]): number => values.reduce((all, each) => all + each, 0);
  expect((await row(0)).slice(1).every((each) => each === 0)).toBe(true);

  await stage.getByRole('radio', { name: 'mask with 0, not −∞' }).check();
  await expect(stage.getByText(/A score of 0 is no/)).toBeVisible({ timeout: 30_000 });
  const before = await row(0);
  expect(before.slice(1).every((each) => each > 0)).toBe(true);
  expect(sum(before)).toBeCloseTo(1, 5);

  await stage.getByRole('radio', { name: 'softmax first, then zeros' }).check();
  await expect(stage.getByText(/The softmax has already divided/)).toBeVisible({ timeout: 30_000 });
  const after = await row(0);
  expect(after.slice(1).every((each) => each === 0)).toBe(true);
  // softmax over all keys, later ones included, by the scores before the mask
  const scaled = await Promise.all(after.map((_, key) => said(page, site, own, at('attn.qk_scaled'), [HEAD, 0, key])));
  const max = Math.max(...scaled);
  expect(after[0]).toBeCloseTo(Math.exp((scaled[0] ?? 0) - max) / sum(scaled.map((each) => Math.exp(each - max))), 5);
  expect(sum(after)).toBeLessThan(1);
});

test('scores and pattern: queries across is the same numbers, turned', async ({ page, site }) => {
  const trace = await traced(page, site);
  for (const [stage, name] of [['scores', 'attn.qk'], ['pattern', 'attn.pattern']] as const) {
    const found = await open(page, site, stage, '&switches=transpose');
    const shown = await cell(matrix(found, name), 3, 7);
    expect(shown.index).toEqual([HEAD, 7, 3]);
    expect(Math.fround(shown.value)).toBe(await said(page, site, trace, at(name), [HEAD, 7, 3]));
  }
});

test('pattern: the first piece set aside is told in numbers, and no number changes', async ({ page, site }) => {
  const trace = await traced(page, site);
  const stage = await open(page, site, 'pattern');
  await stage.getByRole('button', { name: 'set the first piece aside' }).click();
  await expect(stage.getByText(/no number is changed/)).toBeVisible();
  const shares = await Promise.all(trace.tokens.map((_, query) => said(page, site, trace, at('attn.pattern'), [HEAD, query, 0])));
  await expect(stage.locator('.first span')).toHaveText(shares.map((each) => String(Math.round(each * 100))));
  expect(Math.fround((await cell(matrix(stage, 'attn.pattern'), 6, 0)).value)).toBe(shares[6]);
  await page.keyboard.press('.');
  await expect(page).toHaveURL(new RegExp(`head=${HEAD + 1}`));
  await expect(stage.locator('figcaption')).toContainText(`head ${HEAD + 1}`);
});

test('mix: shares of values make z; the heads’ parts and the joined heads close to the same number', async ({ page, site }) => {
  const trace = await traced(page, site);
  const last = trace.n_pos - 1;
  const stage = await open(page, site, 'mix', `&pin=${at('attn_out')}:${last},11`);
  const sums = stage.locator('.total .num');
  await expect(sums).toHaveCount(3);
  await expect(stage.getByText('dimension 11: the heads’ own parts, added')).toBeVisible();
  await expect(stage.getByText('all heads joined, times column 11 of W_O')).toBeVisible();
  const [, parts = '', joined = ''] = await sums.allTextContents();
  expect(parts).toBe(joined);
  const value = await said(page, site, trace, at('attn_out'), [last, 11]);
  expect(Number(parts.replace('−', '-'))).toBeCloseTo(value, (parts.split('.')[1]?.length ?? 0));
  for (const name of ['attn.z', 'attn.v', 'attn.result', 'resid_mid']) {
    const shown = await cell(stage.locator(`.matrix[data-site="${at(name)}"]`).first(), 0, 7);
    expect(Math.fround(shown.value)).toBe(await said(page, site, trace, at(name), shown.index));
  }
});

test('Q, K, V: a number is n times a column of the weights', async ({ page, site }) => {
  const trace = await traced(page, site);
  const stage = await open(page, site, 'qkv', `&pin=${at('attn.k')}:4,0,9`);
  const value = await said(page, site, trace, at('attn.k'), [4, 0, 9]);
  await expect(stage.locator('.heading')).toContainText(`K of ${trace.tokens[4]?.display}, dimension 9`);
  await expect(stage.locator('.heading [data-site]')).toHaveAttribute('data-index', '4,0,9');
  const shown = (await total(stage).textContent())?.replace('−', '-') ?? '';
  expect(Number(shown)).toBeCloseTo(value, shown.split('.')[1]?.length ?? 0);
  // three query heads stand over one key/value head
  await expect(stage.getByText('Heads 0, 1 and 2 share key/value head 0.')).toBeVisible();
  const inputs = (await explained(page, site, trace, at('attn.k'), [4, 0, 9])).inputs;
  for (const row of [3, 20, 64, 101, 150]) {
    const weight = await cell(stage.locator(`.matrix[data-site="${at('attn.W_K')}"]`), row, 9);
    expect(weight.index).toEqual([0, weight.index[1], 9]);
    expect(Math.fround(weight.value)).toBe(Math.fround(inputs[1]?.values[weight.index[1] ?? 0] ?? NaN));
  }
});

test('RoPE: a pair before and after turning, with its real numbers', async ({ page, site }) => {
  const trace = await traced(page, site);
  const last = trace.n_pos - 1;
  const stage = await open(page, site, 'rope');
  await stage.getByRole('radio', { name: /^Dimensions 5 and/ }).click();
  await expect(page).toHaveURL(/pair-5/);
  const half = (await stage.getByRole('radiogroup', { name: 'Pairs of dimensions' }).getByRole('radio').count());
  const numbers = await Promise.all(['attn.q', 'attn.rot_q'].flatMap((name) => [5, 5 + half].map(async (dim) => {
    await expect(stage.locator(`td [data-site="${at(name)}"][data-index="${last},${HEAD},${dim}"]`)).toBeVisible();
    return said(page, site, trace, at(name), [last, HEAD, dim]);
  })));
  const [a = 0, b = 0, c = 0, d = 0] = numbers;
  expect(Math.hypot(a, b)).toBeCloseTo(Math.hypot(c, d), 4);
  // keys have their own head
  await stage.getByRole('radio', { name: 'key' }).click();
  await expect(stage.locator(`td [data-site="${at('attn.rot_k')}"]`).first()).toHaveAttribute('data-index', `${last},0,5`);
});
