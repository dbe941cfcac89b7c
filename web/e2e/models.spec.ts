/** Models, on every model: sizes and costs are the API's, a model is opened by its path, and two say what each makes of one sentence. */
import AxeBuilder from '@axe-core/playwright';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Locator, Page } from '@playwright/test';
import { percent, short } from '../src/charts/format';
import { modelPath } from '../src/protocol/client';
import type { CostsAnswer, Manifest, NextAnswer, ParametersAnswer, SurpriseAnswer } from '../src/protocol/types';
import { amount, bytes, lengthsOf } from '../src/views/models/models';
import type { Api } from './api';
import { open, settled, SLOW, visit } from './look';
import { expect, test, tinyModels } from './server';

const TEXT = 'The robots bring peace.';

const it = test.extend<object, { folder: string }>({
  folder: [
    async ({ machine: _ }, use) => {
      const folder = tinyModels();
      await use(folder);
      rmSync(folder, { recursive: true });
    },
    { scope: 'worker' },
  ],
});

const panel = (page: Page): Locator => page.locator('[data-panel=models]');
const pane = (page: Page): Locator => page.locator('[data-pane=models]');
const at = (page: Page, name: string): string | null => new URL(page.url()).searchParams.get(name);
const values = (all: Locator): Promise<number[]> => all.evaluateAll((found) => found.map((each) => Number(each.getAttribute('data-value'))));
const costsOf = (api: Api, name: string, n: readonly number[]): Promise<CostsAnswer> =>
  api.json(`/api/models/${modelPath(name)}/costs`, { n: n.join(',') });

async function start(page: Page, site: string, query: Record<string, string> = {}): Promise<void> {
  await open(page, site, { text: TEXT, panel: 'models', ...query });
  await expect(panel(page).locator('[data-cost=total]')).toBeVisible({ timeout: SLOW });
  await settled(page);
}

it('the model’s name opens the panel by key; Esc closes the pane, then the panel', async ({ page, site, api }) => {
  const { name } = await api.model();
  await open(page, site, { text: TEXT });
  const button = page.getByRole('button', { name: /^Models: / });
  await button.focus();
  await page.keyboard.press('Enter');
  await expect(panel(page).locator(`[data-model="${name}"]`)).toHaveAttribute('aria-current', 'true', { timeout: SLOW });
  const { model } = await costsOf(api, name, [1]);
  await expect(panel(page).locator('[data-cost=total]')).toHaveText(amount(model.total));
  if (model.file_bytes !== null) await expect(panel(page).locator('[data-cost=file_bytes]')).toHaveText(bytes(model.file_bytes));
  await panel(page).getByRole('button', { name: 'where they live' }).focus();
  await page.keyboard.press('Enter');
  await expect(pane(page)).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(pane(page)).toHaveCount(0);
  await page.keyboard.press('Escape');
  await expect(panel(page)).toHaveCount(0);
});

it('the map’s areas are the API’s counts, in proportion; arrows walk over them', async ({ page, site, api }) => {
  const { name } = await api.model();
  await start(page, site, { open: 'models' });
  const table = await api.json<ParametersAnswer>('/api/parameters', { model: name });
  const { model, beside } = await costsOf(api, name, [1]);
  const rooms = pane(page).locator('[data-part]');
  await expect(rooms).toHaveCount(table.rows.filter((row) => row.total > 0).length);
  const drawn = await rooms.evaluateAll((all) => all.map((each) => ({
    key: `${each.getAttribute('data-part')} ${each.getAttribute('data-row')}`, value: Number(each.getAttribute('data-value')),
    area: Number(each.getAttribute('width')) * Number(each.getAttribute('height')),
  })));
  const whole = drawn.reduce((all, each) => all + each.area, 0);
  for (const row of table.rows.filter((each) => each.total > 0)) {
    const found = drawn.find((each) => each.key === `${row.part} ${row.name}`);
    expect(found?.value).toBe(row.total);
    expect((found?.area ?? NaN) / whole).toBeCloseTo(row.share, 9);
  }
  for (const [part, total] of Object.entries(table.parts)) {
    if (total > 0) await expect(pane(page).locator(`[data-part-total="${part}"]`)).toHaveText(percent(total / table.total));
  }
  expect(await values(pane(page).locator('[data-beside]'))).toEqual([model, ...beside].map((each) => each.total));
  await pane(page).getByRole('application', { name: /^Where the numbers/ }).focus();
  await page.keyboard.press('End');
  const last = table.rows.filter((row) => row.total > 0).at(-1);
  await expect(pane(page).locator('.about')).toContainText(`${last?.name} (${last?.part})`);
  await expect(pane(page).locator('.about')).toContainText(`${last?.formula} = ${last?.numbers}`);
});

it('costs by length are the API’s, in picture and table; arrows choose the length', async ({ page, site, api }) => {
  const { name, config } = await api.model();
  await start(page, site, { open: 'models.costs' });
  const n = [...new Set([1, ...lengthsOf(config.n_ctx)])];
  const { model, beside } = await costsOf(api, name, n);
  const marks = (cost: string): Locator => pane(page).locator(`circle[data-cost=${cost}]`);
  await expect(marks('scores_bytes')).toHaveCount(n.length, { timeout: SLOW });
  expect(await values(marks('flops_per_token'))).toEqual(model.lengths.map((each) => each.flops_per_token));
  expect(await values(marks('kv_cache_bytes'))).toEqual(model.lengths.map((each) => each.kv_cache_bytes.F32));
  expect(await values(marks('scores_bytes'))).toEqual(model.lengths.map((each) => each.scores_bytes));
  await pane(page).getByRole('application', { name: /^Operations a piece/ }).focus();
  await page.keyboard.press('Home');
  const [first] = model.lengths;
  const [type = ''] = Object.keys(first?.bytes_read_per_token ?? {});
  await expect(pane(page).locator('b[data-cost=flops_per_token]')).toHaveText(amount(first?.flops_per_token ?? NaN));
  await expect(pane(page).locator(`b[data-cost="bytes_read_per_token.${type}"]`)).toHaveText(bytes(first?.bytes_read_per_token[type] ?? NaN));
  await pane(page).locator('summary').click();
  for (const each of beside.slice(-1)) {
    // the pointer went to the summary: the length is the longest again
    const cost = each.lengths.at(-1);
    const row = pane(page).locator(`[data-beside="${each.name}"]`);
    await expect(row).toContainText(cost?.fits ? amount(cost.flops_per_token) : 'longer than its context');
  }
  await pane(page).getByRole('button', { name: 'as table' }).first().click();
  await expect(pane(page).getByRole('region', { name: 'Operations a piece, as a table' })).toContainText(short(model.lengths[0]?.flops_per_token));
});

it('a path is opened and runs; a wrong one is refused in a sentence', async ({ page, site, api, folder, watched }) => {
  await start(page, site);
  await panel(page).getByText('Another model').click();
  const field = panel(page).getByLabel(/file or a model’s folder/);
  await field.fill(join(folder, 'nothing'));
  const failed = page.waitForResponse('**/api/models/open');
  await field.press('Enter');
  const said = (await (await failed).json()) as { error: { message: string } };
  await expect(panel(page).getByRole('alert')).toHaveText(said.error.message);
  const opened = page.waitForResponse('**/api/models/open');
  await field.fill(join(folder, 'tiny-llama'));
  await field.press('Enter');
  const { name, n_params } = (await (await opened).json()) as { name: string; n_params: number };
  await expect(panel(page).locator(`[data-model="${name}"]`)).toHaveAttribute('aria-current', 'true', { timeout: SLOW });
  expect(at(page, 'model')).toBe(name);
  const { model } = await costsOf(api, name, [1]);
  expect(model.total).toBe(n_params);
  // the browser says a refusal on the console, too
  watched.errors.splice(0, watched.errors.length, ...watched.errors.filter((each) => !/Failed to load resource.*api\/models\/open/.test(each)));
  await expect(panel(page).locator('[data-cost=total]')).toHaveText(amount(n_params));
});

it('downloading a model shows why it did not come', async ({ page, site }) => {
  // the hub is another machine: what the server would say is said here
  await page.route('**/api/models/pull', (route) => route.fulfill({
    contentType: 'text/event-stream',
    body: 'event: progress\ndata: {"what": "weights", "bytes": 5, "total": 10}\n\nevent: error\ndata: {"error": {"kind": "HubError", "message": "the hub did not answer."}}\n\n',
  }));
  await start(page, site);
  await panel(page).getByText('Another model').click();
  const asked = page.waitForRequest('**/api/models/pull');
  await panel(page).getByRole('button', { name: 'Download GPT-2 small' }).click();
  expect((await asked).postDataJSON()).toEqual({ name: 'gpt2' });
  await expect(panel(page).getByRole('alert')).toHaveText('the hub did not answer.');
});

it('two models on one sentence: candidates and surprise are those of two traces', async ({ page, site, api, folder }) => {
  const first = await api.model();
  const tiny = first.name === 'tiny-gpt2' ? 'tiny-llama' : 'tiny-gpt2';
  const opened = await page.request.post(`${site}/api/models/open`, { data: { path: join(folder, tiny) } });
  const second = ((await opened.json()) as { name: string }).name;
  await start(page, site);
  await panel(page).getByLabel('Beside it').selectOption(second);
  await expect.poll(() => [at(page, 'model2'), at(page, 'open')]).toEqual([second, 'models.two']);
  await settled(page);
  for (const [run, model] of [[1, first.name], [2, second]] as const) {
    const trace = (await (await page.request.post(`${site}/api/traces`, { data: { model, text: TEXT } })).json()) as Manifest;
    const next = await api.json<NextAnswer>(`/api/traces/${trace.id}/next`, { position: -1, k: 20 });
    const bars = pane(page).locator(`[data-run="${run}"] li`);
    await expect(bars).toHaveCount(6, { timeout: SLOW });
    expect(await bars.allTextContents()).toEqual(next.candidates.slice(0, 6).map(({ token, probability }) => expect.stringMatching(new RegExp(`${escaped(token.display)}\\s*${escaped(percent(probability))}`))));
    const { losses } = await api.json<SurpriseAnswer>(`/api/traces/${trace.id}/surprise`);
    const cells = await pane(page).locator(`td[data-run="${run}"]`).evaluateAll((all) => all.map((each) => ({ places: (each.getAttribute('data-places') ?? '').split(',').map(Number), text: each.textContent })));
    expect(cells.flatMap((each) => each.places)).toEqual(trace.tokens.map((_, i) => i));
    for (const { places, text } of cells) {
      const lost = places.map((place) => losses[place] ?? null);
      expect(text).toBe(lost.includes(null) ? '–' : short(lost.reduce<number>((sum, loss) => sum + (loss ?? NaN), 0)));
    }
  }
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

for (const scheme of ['light', 'dark'] as const) {
  it(`axe finds nothing serious, ${scheme}, and no width overflows`, async ({ page, site, machine, folder }) => {
    test.skip(machine !== 'default', 'what is looked at does not depend on the model');
    test.setTimeout(180_000);
    const opened = await page.request.post(`${site}/api/models/open`, { data: { path: join(folder, 'tiny-gpt2') } });
    const { name } = (await opened.json()) as { name: string };
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await start(page, site);
    await panel(page).getByText('Another model').click();
    for (const [width, height] of [[1440, 900], [390, 844]] as const) {
      await page.setViewportSize({ width, height });
      for (const query of [{ open: 'models' }, { open: 'models.costs' }, { open: 'models.two', model2: name }] as Record<string, string>[]) {
        await visit(page, { text: TEXT, panel: 'models', ...query });
        await settled(page);
        await expect(pane(page).locator('.content [role=status]')).toHaveCount(0, { timeout: SLOW });
        const { violations } = await new AxeBuilder({ page }).include('[data-panel=models]').include('[data-pane=models]').analyze();
        expect(violations.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => `${each.id}: ${each.nodes[0]?.html}`)).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBeLessThanOrEqual(0);
      }
    }
  });
}
