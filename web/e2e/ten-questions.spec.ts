/** The ten questions of somebody who wants to know how it works, each as a walk through the page: what is pressed is what
 * a reader would press, and what answers is compared with what is so. */
import type { Locator, Page } from '@playwright/test';
import { percent, short } from '../src/charts/format';
import { number, open, pictures, press, says, settled, SLOW, stage, Truth } from './look';
import { expect, test } from './server';

const TEXT = 'The robots will bring peace. The robots will bring';

/** From the front page along the reading line to a stop. */
async function follow(page: Page, site: string, stop: string, id: string): Promise<Locator> {
  await open(page, site);
  await page.getByRole('button', { name: 'Follow the prediction' }).click();
  await page.getByRole('group', { name: 'Stops' }).getByRole('button', { name: stop, exact: true }).click();
  const found = await stage(page, id);
  await settled(page);
  return found;
}

function here(page: Page): { block: number; head: number } {
  const query = new URL(page.url()).searchParams;
  return { block: Number(query.get('block')), head: Number(query.get('head') ?? 0) };
}

function softmax(scores: readonly number[]): number[] {
  const max = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - max));
  const sum = powers.reduce((all, each) => all + each, 0);
  return powers.map((each) => each / sum);
}

test('1. what Q and K are', async ({ page, site, api }) => {
  const found = await follow(page, site, 'Q, K, V', 'qkv');
  await expect(page.getByRole('region', { name: 'Reading line' })).toContainText(/looks for.*offers/);
  const { block, head } = here(page);
  const truth = await Truth.of(api, TEXT);
  // one number of Q is a product of what stands there with a column of weights, and closes to its value
  const picture = found.locator(`[aria-roledescription=matrix][data-site="blocks.${block}.attn.q"]`);
  const cell = await press(picture, truth.trace.n_pos - 1, 3);
  const real = await truth.value(`blocks.${block}.attn.q`, [truth.trace.n_pos - 1, head, cell.index[2] ?? 0]);
  expect(Math.fround(cell.value)).toBe(real);
  const inspector = page.getByRole('complementary', { name: 'Where this number comes from' });
  expect(says(await inspector.locator('.value').innerText(), real)).toBe(true);
  await expect(inspector).toContainText(`blocks.${block}.attn.W_Q`);
  const sum = found.locator('.sum .total').first();
  expect(says(await sum.innerText(), real)).toBe(true);
});

test('2. why ÷√d_head: switch it off', async ({ page, site, api }) => {
  const found = await follow(page, site, 'Scores', 'scores');
  const { block, head } = here(page);
  const truth = await Truth.of(api, TEXT);
  const n = truth.trace.n_pos;
  const { data } = await api.values(truth.trace, `blocks.${block}.attn.qk`, { head, q_pos: n - 1 });
  const { data: row } = await api.values(truth.trace, `blocks.${block}.attn.pattern`, { head, q_pos: n - 1 });
  await found.getByRole('radio', { name: /without ÷/ }).check();
  const answer = found.getByRole('group', { name: /What if/ });
  await expect(answer).toContainText('the largest share of this row goes from', { timeout: SLOW });
  const [was, is] = [Math.max(...row), Math.max(...softmax([...data]))];
  expect(is).toBeGreaterThan(was);
  await expect(answer).toContainText(percent(was));
  await expect(answer).toContainText(percent(is));
});

test('3. why the mask is −∞ before the softmax, not a zero after', async ({ page, site, api }) => {
  const found = await follow(page, site, 'Scores', 'scores');
  const { block, head } = here(page);
  const truth = await Truth.of(api, TEXT);
  // the first row has everything masked but itself
  const { data } = await api.values(truth.trace, `blocks.${block}.attn.qk_scaled`, { head, q_pos: 0 });
  const answer = found.getByRole('group', { name: /What if/ });
  await found.getByRole('radio', { name: /mask with 0/ }).check();
  await expect(answer).toContainText('that have not been written yet', { timeout: SLOW });
  const leaked = 1 - (softmax([...data].map((score, key) => (key > 0 ? 0 : score)))[0] ?? 0);
  await expect(answer).toContainText(percent(leaked));
  await found.getByRole('radio', { name: /softmax first/ }).check();
  await expect(answer).toContainText('not 1', { timeout: SLOW });
  await expect(answer).toContainText(short(softmax([...data])[0]));
});

test('4. who attends to whom', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  await open(page, site);
  await page.getByRole('button', { name: /map of all/ }).click();
  const map = page.locator('[data-panel=map] .heads');
  await expect(map).toBeVisible();
  await settled(page);
  const heads = await api.heads(truth.trace);
  const best = heads.heads.find((each) => each.key !== heads.position) ?? { block: 0, head: 0 };
  await press(map, best.block, best.head);
  const pattern = await stage(page, 'pattern');
  await settled(page);
  expect(here(page)).toEqual({ block: best.block, head: best.head });
  const last = truth.trace.n_pos - 1;
  const { data } = await api.values(truth.trace, `blocks.${best.block}.attn.pattern`, { head: best.head, q_pos: last });
  const key = data.indexOf(Math.max(...data));
  const share = pattern.locator(`[data-site="blocks.${best.block}.attn.pattern"][data-index="${best.head},${last},${key}"]`).first();
  await expect(share).toHaveText(percent(data[key]));
});

test('5. that every position predicts', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  const found = await follow(page, site, 'Pieces', 'pieces');
  const { losses } = await api.surprise(truth.trace);
  for (const at of [1, 4, truth.trace.n_pos - 1]) {
    await expect(found.locator(`[data-site=surprise][data-index="${at}"]`)).toContainText(percent(Math.exp(-(losses[at] ?? NaN))));
  }
  await page.getByRole('listbox', { name: 'Positions' }).first().getByRole('option').nth(3).click();
  const next = await api.next(truth.trace, 3);
  await expect(page.getByRole('region', { name: 'What comes next' })).toContainText('position 3');
  await expect(page.getByRole('list', { name: 'Candidates' }).getByRole('button').first()).toHaveAttribute('data-index', `3,${next.candidates[0]?.token.id}`);
});

test('6. where the non-linearity is', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  const found = await follow(page, site, 'MLP', 'mlp');
  await expect(found).toContainText('Here is what is not linear');
  const { block } = here(page);
  // each point of the curve is a neuron: its gate across, what the curve makes of it upwards
  const dots = found.locator('svg circle[data-site]');
  expect(await dots.count()).toBeGreaterThan(100);
  for (const i of [0, 50]) {
    const index = (await dots.nth(i).getAttribute('data-index'))?.split(',').map(Number) ?? [];
    const name = (await dots.nth(i).getAttribute('data-site')) ?? '';
    expect(name).toContain(`blocks.${block}.mlp.`);
    const real = await truth.value(name, index);
    expect(Number.isFinite(real)).toBe(true);
  }
  // and in the pattern: shares of e to the power of the score
  const softmaxed = await follow(page, site, 'Pattern', 'pattern');
  await expect(softmaxed).toContainText(/softmax|sums to 1/i);
});

test('7. that joining heads equals the sum of their own parts', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  const found = await follow(page, site, 'Mix and add', 'mix');
  const { block } = here(page);
  const last = truth.trace.n_pos - 1;
  const drawn = await pictures(found);
  const parts = drawn.filter((picture) => picture.site === `blocks.${block}.attn.result`);
  expect(parts).toHaveLength(truth.model.config.n_head);
  const shown = found.locator('[data-site$="attn.result"][data-index]:not([aria-roledescription])');
  await expect(shown).toHaveCount(truth.model.config.n_head);
  const features = await shown.evaluateAll((elements) => elements.map((element) => element.getAttribute('data-index')?.split(',').at(-1)));
  expect(new Set(features).size).toBe(1);
  const feature = Number(features[0]);
  const values = (await shown.allInnerTexts()).map((text) => number(/−?[\d.,]+$/.exec(text.trim())?.[0] ?? 'NaN'));
  const sum = values.reduce((all, value) => all + value, 0);
  const whole = await truth.value(`blocks.${block}.attn_out`, [last, feature]);
  expect(Math.abs(sum - whole)).toBeLessThan(0.01 * Math.max(1, Math.abs(whole)));
});

test('8. what is fixed and what changes', async ({ page, site }) => {
  const found = await follow(page, site, 'Q, K, V', 'qkv');
  const { block } = here(page);
  const read = async (): Promise<Record<string, number | undefined>> => {
    const all = await pictures(found);
    const of = (name: string): number | undefined => all.find((each) => each.site === `blocks.${block}.attn.${name}`)?.cells[1]?.value;
    return { W_Q: of('W_Q'), W_K: of('W_K'), q: of('q'), k: of('k') };
  };
  const before = await read();
  await expect(found).toContainText('The weights are the same for every sentence');
  await page.getByLabel('Your sentence').fill('The robots will bring war. The robots will fetch');
  await settled(page);
  await expect.poll(async () => (await read()).q).not.toBe(before.q);
  const after = await read();
  expect([after.W_Q, after.W_K]).toEqual([before.W_Q, before.W_K]);
  expect(before.W_Q).toBeDefined();
  expect(after.k).not.toBe(before.k);
});

test('9. that an embedding starts without context', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  const found = await follow(page, site, 'Vectors', 'embedding');
  await expect(found).toContainText(/stands at \d+ and at \d+/);
  const [a = -1, b = -1] = /stands at (\d+) and at (\d+)/.exec(await found.innerText())?.slice(1).map(Number) ?? [];
  expect(truth.trace.tokens[a]?.id).toBe(truth.trace.tokens[b]?.id);
  await expect(found).toContainText('Both start as the same row');
  const row = async (name: string, pos: number): Promise<number[]> => [...(await api.values(truth.trace, name, { pos })).data];
  expect(await row('embed', a)).toEqual(await row('embed', b));
  const end = `blocks.${truth.model.config.n_layer - 1}.resid_post`;
  expect(await row(end, a)).not.toEqual(await row(end, b));
  const cell = async (label: RegExp, i: number): Promise<number | undefined> => (await pictures(found)).filter((each) => label.test(each.name))[i]?.cells[0]?.value;
  expect(await cell(/^start/, 0)).toBe(await cell(/^start/, 1));
  expect(await cell(/^end/, 0)).not.toBe(await cell(/^end/, 1));
});

test('10. why not the likeliest token', async ({ page, site, api }) => {
  const truth = await Truth.of(api, TEXT);
  const found = await follow(page, site, 'Chances and the draw', 'draw');
  const why = found.locator('[data-why]');
  for (let seed = 0; seed < 20; seed++) {
    const query = new URL(page.url()).searchParams;
    const now = await api.next(truth.trace, truth.trace.n_pos - 1, { seed: Number(query.get('seed') ?? 0), k: 20 });
    const [best] = now.candidates;
    const other = now.chosen.id !== best?.token.id;
    await expect(why).toHaveAttribute('data-why', other ? /^(?!likeliest|greedy)/ : 'likeliest');
    if (other) {
      await expect(why).toContainText('Why not the likeliest');
      await expect(why).toContainText(percent(best?.final));
      await expect(why).toContainText(now.draw?.u.toFixed(4) ?? '');
      await expect(why).toContainText(now.chosen.display);
      return;
    }
    await found.getByRole('button', { name: 'Draw again' }).click();
    await expect(page).toHaveURL(new RegExp(`seed=${seed + 1}`));
  }
  throw new Error('twenty draws, and always the likeliest');
});
