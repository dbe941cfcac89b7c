import type { Locator, Page } from '@playwright/test';
import { expect, test } from './server';

/** The end of the page: logits, the draw, what each block did, and the map. What they show equals what the API says. */

interface Manifest { id: string; n_pos: number; tokens: { id: number; display: string }[] }
interface Candidate { token: { id: number; display: string }; logit: number; scaled: number; final: number; kept_top_k: boolean }
interface Next { candidates: Candidate[]; chosen: { id: number }; kept: { top_k: number; min_p: number }; draw: { u: number; cumulative: { token: { id: number }; low: number; high: number }[] } | null }
interface Lens { depths: { name: string; tokens: { id: number; probability: number; rank: number }[] }[] }
interface Attribution { logit: number; parts: { kind: string; block: number | null; head: number | null; value: number }[]; blocks: { block: number; attn: number; mlp: number }[] }

const TEXT = 'The robots will bring peace. The robots will bring';

async function traced(page: Page, site: string): Promise<Manifest> {
  const models = await (await page.request.get(`${site}/api/models`)).json();
  return (await page.request.post(`${site}/api/traces`, { data: { model: models.default, text: TEXT } })).json();
}

async function ask<T>(page: Page, site: string, trace: Manifest, what: string): Promise<T> {
  return (await page.request.get(`${site}/api/traces/${trace.id}/${what}`)).json();
}

async function values(all: Locator): Promise<Map<string, number>> {
  const found = await all.evaluateAll((elements) => elements.map((each) => [each.getAttribute('data-index') ?? '', Number(each.getAttribute('data-value'))] as const));
  return new Map(found);
}

/** "1,234.5" or "(−0.30)", as printed, in hundredths or tenths of a unit. */
function units(text: string, decimals: number): number {
  return Math.round(Number(text.replace(/[(),\s]/g, '').replace('−', '-')) * 10 ** decimals);
}

const errors: string[] = [];
test.beforeEach(({ page }) => {
  errors.length = 0;
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
});
test.afterEach(() => expect(errors).toEqual([]));

test('what each block did: chance, rank and parts are the API’s, and the sum closes as printed', async ({ page, site }) => {
  const trace = await traced(page, site);
  const next = await ask<Next>(page, site, trace, 'next?k=8');
  const second = next.candidates[1]?.token.id ?? 0;
  await page.goto(`${site}/?open=did`);
  const stage = page.locator('[data-stage=did]');
  await stage.getByRole('radio').nth(1).click();
  await expect(page).toHaveURL(new RegExp(`token=${second}`));
  const lens = await ask<Lens>(page, site, trace, `lens?tokens=${second}`);
  const said = await ask<Attribution>(page, site, trace, `attribution?token=${second}`);

  await expect(stage.locator(`[data-site="lens.rank"][data-index$=",${second}"]`)).toHaveCount(lens.depths.length);
  const [ranks, chances] = [await values(stage.locator('[data-site="lens.rank"]')), await values(stage.locator('[data-site="lens.probability"]'))];
  for (const depth of lens.depths) {
    const key = `${depth.name},${trace.n_pos - 1},${second}`;
    expect(ranks.get(key)).toBe(depth.tokens[0]?.rank);
    expect(chances.get(key)).toBe(depth.tokens[0]?.probability);
  }
  await expect(stage.locator('[data-site="attribution.mlp"]')).toHaveCount(said.blocks.length);
  const [attn, mlp] = [await values(stage.locator('[data-site="attribution.attn"]')), await values(stage.locator('[data-site="attribution.mlp"]'))];
  for (const block of said.blocks) {
    expect(attn.get(String(block.block))).toBe(block.attn);
    expect(mlp.get(String(block.block))).toBe(block.mlp);
  }
  const printed = await stage.locator('.term b').allInnerTexts();
  const total = units(printed.at(-1) ?? '', 2);
  expect(total).toBe(Math.round(said.logit * 100));
  expect(printed.slice(0, -1).reduce((sum, each) => sum + units(each, 2), 0)).toBe(total);

  // keys walk along the depth; Enter lists a block's parts, and a head leads to its pattern
  await stage.getByRole('application').first().focus();
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  const block = said.blocks.length - 2;
  await expect(stage.locator('.says')).toContainText(`After block ${block}`);
  await page.keyboard.press('Enter');
  await stage.getByRole('button', { name: 'head 2', exact: false }).first().click();
  await expect(page).toHaveURL(new RegExp(`block=${block}.*head=2`));
  await expect(page.locator('[data-stage=pattern]')).toBeVisible();
});

test('the heads of every block stand under the same depth', async ({ page, site }) => {
  const trace = await traced(page, site);
  await page.goto(`${site}/?open=did&switches=split-heads`);
  const grid = page.locator('[data-stage=did] [data-site="attribution.head"]');
  await expect(grid).toBeVisible();
  const next = await ask<Next>(page, site, trace, 'next?k=1');
  const said = await ask<Attribution>(page, site, trace, `attribution?token=${next.candidates[0]?.token.id}`);
  for (const [head, block] of [[0, 0], [3, 11], [8, 29]] as const) {
    const shown = await grid.evaluate((element, [row, col]) => {
      return (element as unknown as { __cutaway: { cell(row: number, col: number): { index: number[]; value: number } } }).__cutaway.cell(row ?? 0, col ?? 0);
    }, [head, block]);
    expect(shown.index).toEqual([block, head]);
    const part = said.parts.find((each) => each.kind === 'head' && each.block === block && each.head === head);
    expect(shown.value).toBe(Math.fround(part?.value ?? NaN));
  }
});

test('the draw: every stage of it is the server’s, and another seed draws again', async ({ page, site }) => {
  const trace = await traced(page, site);
  const settings = 'temperature=1.5&top_k=20&top_p=0.8&seed=3';
  const next = await ask<Next>(page, site, trace, `next?k=20&${settings}`);
  await page.goto(`${site}/?open=draw&${settings}`);
  const stage = page.locator('[data-stage=draw]');
  await expect(stage.locator('[data-site="next.final"]').first()).toBeVisible();
  const [scaled, final] = [await values(stage.locator('[data-site="next.scaled"]')), await values(stage.locator('[data-site="next.final"]'))];
  expect(final.size).toBeGreaterThanOrEqual(10);
  for (const [id, value] of final) {
    const candidate = next.candidates.find((each) => each.token.id === Number(id));
    expect(value).toBe(candidate?.final);
    expect(scaled.get(id)).toBe(candidate?.scaled);
  }
  const parts = await stage.locator('[data-site="next.cumulative"]').evaluateAll((all) =>
    all.map((each) => [each.getAttribute('data-index'), each.getAttribute('data-low'), each.getAttribute('data-high')].map(Number)));
  for (const [id, low, high] of parts) {
    const slice = next.draw?.cumulative.find((each) => each.token.id === id);
    expect([low, high]).toEqual([slice?.low, slice?.high]);
  }
  await expect(stage.locator(`.row.chosen`)).toHaveAttribute('data-token', String(next.chosen.id));
  await expect(stage.getByRole('img', { name: next.draw?.u.toFixed(4) })).toBeVisible();

  await stage.getByRole('button', { name: 'Draw again' }).click();
  await expect(page).toHaveURL(/seed=4/);
  const again = await ask<Next>(page, site, trace, `next?k=20&${settings.replace('seed=3', 'seed=4')}`);
  await expect(stage.getByRole('img', { name: again.draw?.u.toFixed(4) })).toBeVisible();

  await stage.getByRole('slider', { name: 'temperature' }).fill('0');
  await expect(stage.locator('[data-why=greedy]')).toBeVisible();
  await expect(stage.getByRole('button', { name: 'Draw again' })).toBeDisabled();
});

test('why not the likeliest: a draw that took another says so with its own numbers', async ({ page, site }) => {
  const trace = await traced(page, site);
  let seed = 0;
  let next: Next;
  do next = await ask<Next>(page, site, trace, `next?k=20&seed=${++seed}`);
  while (next.chosen.id === next.candidates[0]?.token.id && seed < 40);
  await page.goto(`${site}/?open=draw&seed=${seed}`);
  const why = page.locator('[data-why=another]');
  await expect(why).toContainText(`Why not the likeliest, ${next.candidates[0]?.token.display}?`);
  await expect(why).toContainText(next.draw?.u.toFixed(4) ?? '–');
});

test('logits: a product that closes, at any position', async ({ page, site }) => {
  const trace = await traced(page, site);
  await page.goto(`${site}/?open=logits`);
  const stage = page.locator('[data-stage=logits]');
  const option = stage.getByRole('option');
  await expect(option).toHaveCount(trace.n_pos);
  const { losses } = await ask<{ losses: (number | null)[] }>(page, site, trace, 'surprise');
  await expect(stage.locator('[data-site="next.best"][data-value]')).toHaveCount(trace.n_pos);
  for (const at of [0, 3, 8]) {
    const next = await ask<Next & { candidates: { probability: number }[] }>(page, site, trace, `next?k=1&position=${at}`);
    await expect(stage.locator(`[data-site="next.best"][data-index="${at}"]`)).toHaveAttribute('data-token', String(next.candidates[0]?.token.id));
    expect((await values(stage.locator('[data-site=surprise]'))).get(String(at + 1))).toBe(losses[at + 1]);
  }

  await option.nth(3).click();
  await expect(page).toHaveURL(/pos=3/);
  const next = await ask<Next>(page, site, trace, 'next?k=1&position=3');
  const best = next.candidates[0];
  await expect(stage.locator(`.sum[data-index="3,${best?.token.id}"]`)).toBeVisible();
  const printed = await stage.locator('.sum .num').allInnerTexts();
  const decimals = (printed.at(-1)?.split('.')[1] ?? '').length;
  expect(units(printed.at(-1) ?? '', decimals)).toBe(Math.round((best?.logit ?? NaN) * 10 ** decimals));
  expect(printed.slice(0, -1).reduce((sum, each) => sum + units(each, decimals), 0)).toBe(units(printed.at(-1) ?? '', decimals));
  await stage.locator('.sum [data-site="ln_final.out"]').first().click();
  await expect(page).toHaveURL(/pin=ln_final.out:3,\d+/);
});

test('the map: every thumbnail is real, and a chosen head unfolds', async ({ page, site }) => {
  const trace = await traced(page, site);
  const asked: string[] = [];
  page.on('request', (request) => request.url().includes('bins=12x12') && asked.push(request.url()));
  await page.goto(`${site}/?panel=map`);
  const map = page.locator('[data-panel=map]').getByRole('application').first();
  await expect(map).toBeVisible();
  await expect(page.locator('[data-panel=map] .matrix')).toBeVisible();
  expect(asked).toHaveLength(1);
  for (const [block, head] of [[0, 0], [16, 0], [29, 8]] as const) {
    const shown = await map.evaluate((element, [row, col]) => {
      return (element as unknown as { __cutaway: { cell(row: number, col: number): { index: number[]; value: number } } }).__cutaway.cell(row ?? 0, col ?? 0);
    }, [block, head]);
    expect(shown.index.slice(0, 2)).toEqual([block, head]);
    expect(shown.index[3]).toBeGreaterThan(0);
    const { value } = await ask<{ value: number }>(page, site, trace, `explain?site=blocks.${block}.attn.pattern&index=${shown.index.slice(1).join(',')}`);
    expect(shown.value).toBe(Math.fround(value));
  }
  await map.focus();
  await page.keyboard.press('PageDown');
  await page.keyboard.press('End');
  await expect(map.locator('[aria-live]')).toContainText('block 29, head 8');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/block=29.*open=pattern.*head=8/);
  await expect(page.locator('[data-stage=pattern]')).toBeVisible();
});
