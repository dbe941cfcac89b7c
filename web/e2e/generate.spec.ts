/** Writing on, on every model: the pieces are the engine's for the same seed, nothing that was written is lost, and each step is the
 * ordinary trace of the text so far. */
import AxeBuilder from '@axe-core/playwright';
import type { Locator, Page } from '@playwright/test';
import { spawnSync } from 'node:child_process';
import { percent } from '../src/charts/format';
import { open, settled, SLOW } from './look';
import { expect, python, root, test } from './server';

interface Step { token: number; position: number; draft: [accepted: number, drafted: number] | null; dropped: number }

/** What the engine writes by itself. */
function writes<T = Step[]>(model: string | undefined, asked: object): T {
  const done = spawnSync(python, ['web/e2e/engine_writes.py', ...(model ? [model] : [])], { cwd: root, input: `${JSON.stringify(asked)}\n`, encoding: 'utf-8' });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout) as T;
}

const TEXT = 'The robots will bring';
const panel = (page: Page): Locator => page.locator('[data-panel=generate]');
const pieces = (page: Page): Locator => panel(page).locator('[data-token][role=option]');
const one = (page: Page): Locator => panel(page).getByRole('button', { name: 'One piece' });
const candidates = (page: Page): Locator => panel(page).getByRole('list', { name: 'What may come next' }).getByRole('button');
const at = (page: Page, name: string): string | null => new URL(page.url()).searchParams.get(name);
const ids = (all: Locator): Promise<number[]> => all.evaluateAll((elements) => elements.map((each) => Number(each.getAttribute('data-token'))));

async function start(page: Page, site: string, query: Record<string, string | number> = {}): Promise<void> {
  await open(page, site, { text: TEXT, panel: 'generate', ...query });
  await ready(page);
}

/** The text so far is the page's, and what comes next is there. */
async function ready(page: Page): Promise<void> {
  await settled(page);
  await expect(candidates(page)).not.toHaveCount(0, { timeout: SLOW });
  await expect(panel(page).locator('[aria-busy=true]')).toHaveCount(0, { timeout: SLOW });
}

async function piece(page: Page, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    const before = await pieces(page).count();
    await one(page).click();
    await expect(pieces(page)).toHaveCount(before + 1, { timeout: SLOW });
    await ready(page);
  }
}

/** Runs until at least so many pieces stand there, and pauses at once: a tiny model is quicker than a click from outside. */
async function run(page: Page, least: number): Promise<void> {
  await panel(page).evaluate((host, enough) => {
    const watcher = new MutationObserver(() => {
      if (host.querySelectorAll('[role=option][data-token]').length < enough) return;
      watcher.disconnect();
      [...host.querySelectorAll('button')].find((each) => each.textContent === 'Pause')?.click();
    });
    watcher.observe(host, { childList: true, subtree: true });
  }, least);
  await panel(page).getByRole('button', { name: 'Run', exact: true }).click();
  await expect.poll(() => pieces(page).count(), { timeout: SLOW }).toBeGreaterThanOrEqual(least);
  // a tiny model may have written all 200 pieces of a run before a busy machine draws the first
  if (test.info().project.name === 'default') expect(await pieces(page).count(), 'it paused').toBeLessThan(least + 100);
  await expect(panel(page).getByRole('button', { name: 'Run', exact: true })).toBeVisible({ timeout: SLOW });
  await ready(page);
}

test('single pieces, a run, a pause and a run again are one text: the engine’s', async ({ page, site, model }) => {
  await start(page, site, { seed: 7, temperature: 0.9, top_k: 40 });
  await piece(page, 2);
  await run(page, 5);
  const paused = await pieces(page).count();
  await run(page, paused + 3);
  const shown = await ids(pieces(page));
  const steps = writes(model, { text: TEXT, settings: { seed: 7, temperature: 0.9, top_k: 40, max_new_tokens: shown.length } });
  expect(shown).toEqual(steps.map((step) => step.token));
  expect(at(page, 'written')).toBe(String(shown.length));
});

test('each step is the ordinary trace of the text so far', async ({ page, site, api, model }) => {
  await start(page, site, { seed: 3 });
  await piece(page, 3);
  const told = at(page, 'ids');
  const manifest = told
    ? ((await (await page.request.post(`${site}/api/traces`, { data: { model: (await api.model()).name, ids: told.split(',').map(Number) } })).json()) as Awaited<ReturnType<typeof api.trace>>)
    : await api.trace(at(page, 'text') ?? '');
  const steps = writes(model, { text: TEXT, settings: { seed: 3, max_new_tokens: 4 } });
  expect(manifest.tokens.slice(-3).map((token) => token.id)).toEqual(steps.slice(0, 3).map((step) => step.token));
  await expect(page.locator('.whole [role=option]')).toHaveCount(manifest.n_pos);
  // what comes next, in the panel and beside the picture: chances of the plain trace, and the draw of the fourth piece
  const next = await api.next(manifest, manifest.n_pos - 1, { seed: 3, index: 3 });
  expect(next.chosen.id).toBe(steps[3]?.token);
  for (const button of (await candidates(page).all()).slice(0, 5)) {
    const id = Number(await button.getAttribute('data-token'));
    const own = next.candidates.find((each) => each.token.id === id);
    await expect(button.locator('.num')).toHaveText(percent(own?.probability));
  }
  await expect(panel(page).locator('.next')).toContainText(next.draw?.u.toFixed(4) ?? '–');
  await expect(page.getByRole('region', { name: 'What comes next', exact: true })).toContainText(`${next.draw?.u.toFixed(3)} falls on`);
});

test('back to any piece, another taken there: a branch; both stay, and Back and a link lead to them', async ({ page, context, site, model }) => {
  await start(page, site, { seed: 1 });
  await piece(page, 4);
  const first = await ids(pieces(page));
  await pieces(page).nth(1).click();
  await expect.poll(() => at(page, 'written')).toBe('2');
  await ready(page);
  await expect(pieces(page)).toHaveCount(4);
  await expect(panel(page).locator('.ahead')).toHaveCount(2);
  const other = candidates(page).and(page.locator(`:not([data-token="${first[2]}"])`)).first();
  const taken = Number(await other.getAttribute('data-token'));
  expect(taken).not.toBe(first[2]);
  await other.click();
  await expect.poll(() => at(page, 'written')).toBe('3');
  await ready(page);
  expect(await ids(pieces(page))).toEqual([first[0], first[1], taken]);
  await piece(page);

  // the draw there is that of the fourth piece, whoever took the third
  await panel(page).getByRole('button', { name: 'Compare 2 branches' }).click();
  const pane = page.locator('[data-panel="generate.branches"]');
  await expect(pane.getByRole('columnheader')).toHaveCount(2);
  await expect(pane.locator('tbody tr')).toHaveCount(4);
  await expect(pane.locator('tbody tr').first().locator('td')).toHaveAttribute('colspan', '2');
  await expect(pane.locator('.taken')).toHaveCount(1);
  const chances = await pane.locator('[data-site="generate.branch"]').evaluateAll((all) => all.map((each) => Number(each.getAttribute('data-value'))));
  expect(chances).toHaveLength(6);
  const [a = NaN, b = NaN, c3 = NaN, , c4 = NaN] = chances;
  const nats = await pane.locator('[data-site="generate.surprise"]').first().getAttribute('data-value');
  expect(Number(nats)).toBeCloseTo(-(Math.log(a) + Math.log(b) + Math.log(c3) + Math.log(c4)) / 4, 9);
  await pane.getByRole('button', { name: 'Go on from branch a' }).click();
  await expect.poll(() => ids(pieces(page))).toEqual(first);
  await ready(page);

  await page.goBack();
  await expect.poll(() => at(page, 'written')).toBe('4');
  await ready(page);
  await expect(pieces(page).nth(2)).toHaveAttribute('data-token', String(taken));

  const sent = await context.newPage();
  await sent.goto(page.url());
  await ready(sent);
  expect(await ids(pieces(sent))).toEqual(await ids(pieces(page)));
  await expect(sent.getByRole('list', { name: 'Candidates' })).toHaveText(await page.getByRole('list', { name: 'Candidates' }).innerText(), { useInnerText: true });
  expect(writes(model, { text: TEXT, settings: { seed: 1, max_new_tokens: 4 } }).map((step) => step.token)).toEqual(first);
});

test('what is kept: a run reads one position and computes the others no more', async ({ page, site, api, model }) => {
  await start(page, site, { seed: 2 });
  const { n_pos: given } = await api.trace(TEXT);
  await piece(page);
  const cache = panel(page).locator('[data-site="generate.cache"]');
  await expect(cache).toHaveAttribute('data-held', '0');
  await expect(cache).toHaveAttribute('data-computed', String(given));
  await run(page, 4);
  const steps = writes(model, { text: TEXT, settings: { seed: 2, max_new_tokens: await pieces(page).count() } });
  // all but the newest of what stands before it, but where the window has just been emptied
  const last = steps.at(-1);
  const before = last?.position ?? 0;
  await expect(cache).toHaveAttribute('data-held', String(last?.dropped ? 0 : before - 1));
  await expect(cache).toHaveAttribute('data-computed', String(last?.dropped ? before : 1));
  const { config } = await api.model();
  const bytes = 2 * 4 * config.n_layer * config.n_kv_head * config.d_head * before;
  const said = await panel(page).getByText(/They take/).innerText();
  const [, number = '', unit = ''] = /They take ([\d.]+) (bytes|kB|MB)/.exec(said) ?? [];
  expect(Math.abs(Number(number) * { bytes: 1, kB: 1e3, MB: 1e6 }[unit as 'kB'] / bytes - 1)).toBeLessThan(0.06);
});

test('after Back from a run its pieces stand there, and a click takes them again', async ({ page, site }) => {
  await start(page, site, { temperature: 0 });
  await run(page, 40);
  const written = await ids(pieces(page));
  await page.goBack();
  await expect.poll(() => at(page, 'written')).toBeNull();
  await ready(page);
  await expect(panel(page).locator('.card')).toHaveText('Taken back. Click a piece to take it again.');
  await expect(panel(page).locator('.ahead')).toHaveCount(written.length);
  expect(await panel(page).locator('.strip').evaluate((strip) => strip.scrollTop)).toBe(0);
  await pieces(page).nth(2).click();
  await expect.poll(() => at(page, 'written')).toBe('3');
});

test('a reload while it writes loses nothing but the last moment', async ({ page, site, model, machine }) => {
  test.skip(machine !== 'default', 'a tiny model has written all before a reload can be asked for');
  await start(page, site, { seed: 11 });
  await panel(page).getByRole('button', { name: 'Run', exact: true }).click();
  await expect.poll(() => Number(at(page, 'written')), { timeout: SLOW, intervals: [20] }).toBeGreaterThan(5);
  await expect(panel(page).getByRole('button', { name: 'Pause', exact: true })).toBeVisible();
  await page.reload();
  await ready(page);
  const shown = await ids(pieces(page));
  expect(shown).toHaveLength(Number(at(page, 'written')));
  expect(shown.length).toBeGreaterThan(5);
  expect(shown).toEqual(writes(model, { text: TEXT, settings: { seed: 11, max_new_tokens: shown.length } }).map((step) => step.token));
  await page.goBack();
  await expect.poll(() => at(page, 'text')).toBe(TEXT);
  expect(at(page, 'written')).toBeNull();
});

test('a full window: the oldest leave, and the pieces stay the engine’s, paused anywhere', async ({ page, site, model }) => {
  await start(page, site, { seed: 5, window: 24 });
  await run(page, 12);
  await run(page, (await pieces(page).count()) + 14);
  const shown = await ids(pieces(page));
  const steps = writes(model, { text: TEXT, settings: { seed: 5, n_ctx: 24, max_new_tokens: shown.length } });
  expect(shown).toEqual(steps.map((step) => step.token));
  const full = steps.findIndex((step) => step.dropped > 0);
  expect(full).toBeGreaterThan(0);
  await pieces(page).nth(full).hover();
  await expect(panel(page).locator('[data-dropped]')).toHaveAttribute('data-dropped', String(steps[full]?.dropped));
  await expect(panel(page).locator('.gone').first()).toBeVisible();
  // the trace beside it is of what the model still sees
  expect(await page.locator('.whole [role=option]').count()).toBeLessThanOrEqual(24);
});

test('guesses from the text itself: accepted and rejected as the engine says, and the same text', async ({ page, site, model }) => {
  const text = 'one two three one two three one two';
  await start(page, site, { text, temperature: 0, switches: 'lookup' });
  await run(page, 8);
  const shown = await ids(pieces(page));
  const settings = { temperature: 0, max_new_tokens: 200 };
  const steps = writes(model, { text, settings: { ...settings, lookup: 8 } }).slice(0, shown.length);
  expect(shown).toEqual(steps.map((step) => step.token));
  expect(shown).toEqual(writes(model, { text, settings: { ...settings, max_new_tokens: shown.length } }).map((step) => step.token));
  const guessed = steps.findIndex((step) => step.draft !== null);
  expect(guessed).toBeGreaterThanOrEqual(0);
  await pieces(page).nth(guessed).hover();
  const draft = panel(page).locator('[data-drafted]');
  await expect(draft).toHaveAttribute('data-drafted', String(steps[guessed]?.draft?.[1]));
  await expect(draft).toHaveAttribute('data-accepted', String(steps[guessed]?.draft?.[0]));
  const [accepted = 0, drafted = 0] = steps[guessed]?.draft ?? [];
  await expect(draft.locator('.wrong')).toHaveCount(drafted - accepted);
});

test('a changed run writes as the changed engine does', async ({ page, site, model }) => {
  await start(page, site, { temperature: 0, changes: 'zero@blocks.1.attn_out' });
  await run(page, 6);
  const shown = await ids(pieces(page));
  const interventions = [{ site: 'blocks.1.attn_out', action: 'zero' }];
  expect(shown).toEqual(writes(model, { text: TEXT, interventions, settings: { temperature: 0, max_new_tokens: shown.length } }).map((step) => step.token));
});

test('who writes in the input while a run goes on is heard', async ({ page, site }) => {
  await start(page, site, { seed: 4 });
  await panel(page).getByRole('button', { name: 'Run', exact: true }).click();
  await expect(pieces(page)).not.toHaveCount(0);
  const input = page.getByLabel('Your sentence');
  await input.fill('Somebody else');
  await ready(page);
  await expect(input).toHaveValue('Somebody else');
  await expect(pieces(page)).toHaveCount(0);
  expect(at(page, 'text')).toBe('Somebody else');
  await page.goBack();
  await expect(page).not.toHaveURL(/Somebody/);
});

test('a chat is shown as the text that it is', async ({ page, site, api, model }) => {
  const { has_chat_template } = await api.model();
  await start(page, site);
  await panel(page).locator('summary').click();
  const field = panel(page).getByLabel('Your message');
  if (!has_chat_template) return expect(field).toHaveCount(0);
  const content = 'Say <|im_end|> twice.';
  await field.fill(content);
  const real = panel(page).locator('.real .piece');
  await expect(real.filter({ hasText: 'twice' })).not.toHaveCount(0);
  const own = writes<number[]>(model, { messages: [{ role: 'user', content }] });
  await expect(real).toHaveCount(own.length);
  // what the reader wrote is no mark, however it looks
  await expect(panel(page).locator('.real')).toContainText(content);
  const marks = (await panel(page).locator('.real .mark').allInnerTexts()).filter((each) => each.trim() === '<|im_end|>');
  expect(marks.length).toBe(2);
  await panel(page).getByRole('button', { name: 'Use this text' }).click();
  await expect(page.locator('.whole [role=option]')).toHaveCount(own.length);
  await ready(page);
  await piece(page);
});

test('the chosen piece flies to the input, once; with reduced motion it is there', async ({ page, site }) => {
  await start(page, site, { seed: 2 });
  const flights = async (): Promise<{ piece: string; ms: number }[]> =>
    page.evaluate(() => (globalThis as unknown as { flights: { piece: string; ms: number }[] }).flights);
  await page.evaluate(() => {
    const flights: { piece: string; ms: number }[] = ((globalThis as unknown as { flights: unknown }).flights = []);
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (frames, timing) {
      flights.push({ piece: this.textContent ?? '', ms: Number((timing as KeyframeAnimationOptions).duration) });
      return animate.call(this, frames, timing);
    };
  });
  const chosen = candidates(page).nth(1);
  const word = await chosen.locator('.piece').innerText();
  await chosen.click();
  await expect.poll(flights).toEqual([{ piece: word, ms: 600 }]);
  await expect(page.locator('.flyer')).toHaveCount(0);
  await ready(page);
  await piece(page);
  expect(await flights()).toHaveLength(2);
  await expect(page.locator('.flyer')).toHaveCount(0);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await piece(page);
  expect(await flights()).toHaveLength(2);
});

test('by keys alone, for screen readers, in every width', async ({ page, site }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await start(page, site, { seed: 6 });
  await one(page).focus();
  for (const written of [1, 2, 3]) {
    await page.keyboard.press('Enter');
    await expect(pieces(page)).toHaveCount(written, { timeout: SLOW });
    await ready(page);
    await expect(one(page)).toBeFocused();
  }
  await panel(page).locator('[role=option][tabindex="0"]').focus();
  await page.keyboard.press('ArrowLeft');
  await expect(pieces(page).nth(1)).toBeFocused();
  await expect(panel(page).locator('.said')).toContainText(await pieces(page).nth(1).innerText());
  await page.keyboard.press('Enter');
  await expect.poll(() => at(page, 'written')).toBe('2');
  await ready(page);
  await candidates(page).first().focus();
  await page.keyboard.press('ArrowDown');
  await expect(candidates(page).nth(1)).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect.poll(() => at(page, 'written')).toBe('3');
  await ready(page);
  const compare = panel(page).getByRole('button', { name: /^Compare/ });
  if (await compare.count()) await compare.click();
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => `${each.id} ${each.nodes[0]?.target.join(' ')}`)).toEqual([]);
  }
  for (const [width, height] of [[360, 740], [768, 1024], [1440, 900]] as const) {
    await page.setViewportSize({ width, height });
    expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBeLessThanOrEqual(0);
  }
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await expect(panel(page)).toHaveCount(0);
});
