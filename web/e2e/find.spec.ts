/** Find, on every model: what is listed is what the engine finds, in its order, and one click leads to where it stands. */
import AxeBuilder from '@axe-core/playwright';
import { spawnSync } from 'node:child_process';
import type { Locator, Page } from '@playwright/test';
import { percent, short } from '../src/charts/format';
import { open, settled, SLOW, stage, Truth, visit } from './look';
import { expect, python, root, test } from './server';

const TEXT = 'The robots bring peace. The robots';

interface Found {
  token: number;
  heads: number[][];
  logit: number;
  attn: number[];
  mlp: number[];
  neurons: [block: number, neuron: number, activation: number, wrote: number][];
  habits: Record<string, number[][]> & { seed: number; n_sequences: number; length: number };
}

const it = test.extend<object, { found: Found }>({
  found: [
    async ({ model }, use) => {
      const ran = spawnSync(python, ['web/e2e/found.py', TEXT, ...(model ? [model] : [])], { cwd: root, maxBuffer: 1 << 24 });
      if (ran.status !== 0) throw new Error(String(ran.stderr));
      await use(JSON.parse(String(ran.stdout)) as Found);
    },
    { scope: 'worker' },
  ],
});

const panel = (page: Page): Locator => page.locator('[data-panel=find]');
const rows = (page: Page, name: string): Locator => panel(page).getByRole('list', { name, exact: true }).getByRole('button');
const at = (page: Page, name: string): string | null => new URL(page.url()).searchParams.get(name);
const signed = (value: number): string => `${value > 0 ? '+' : ''}${short(value)}`;

interface Row { index: number[]; text: string; says: string; value: number }

async function read(list: Locator): Promise<Row[]> {
  await expect(list.first()).toBeVisible({ timeout: SLOW });
  return list.evaluateAll((all) => all.map((each) => ({
    index: (each.getAttribute('data-index') ?? '').split(',').map(Number), text: each.textContent ?? '', says: each.getAttribute('aria-label') ?? '',
    value: Number(each.getAttribute('data-value')),
  })));
}

async function start(page: Page, site: string, query: Record<string, string | number> = {}): Promise<void> {
  await open(page, site, { text: TEXT, panel: 'find', ...query });
  await expect(panel(page)).toBeVisible({ timeout: SLOW });
  await settled(page);
}

it('the word opens the panel in the reading line’s place, the word and Esc close it', async ({ page, site }) => {
  await open(page, site, { text: TEXT });
  const word = page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Find', exact: true });
  await expect(word).toHaveAttribute('aria-expanded', 'false');
  await word.focus();
  await page.keyboard.press('Enter');
  await expect(panel(page)).toBeVisible({ timeout: SLOW });
  await expect(word).toHaveAttribute('aria-expanded', 'true');
  await expect(page.getByRole('region', { name: 'Reading line' })).toHaveCount(0);
  await expect(page.getByRole('region', { name: 'The whole model' })).toBeVisible();
  await expect(page.getByRole('list', { name: 'Candidates' })).toBeVisible();
  await word.click();
  await expect(panel(page)).toHaveCount(0);
  await expect(page.getByRole('region', { name: 'Reading line' })).toBeVisible();
  await page.goBack();
  await expect(panel(page)).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(panel(page)).toHaveCount(0);
  expect(at(page, 'panel')).toBeNull();
});

it('heads stand in the order of what they added, with what they look at, and a click unfolds the pattern', async ({ page, site, api, engine, found, machine }) => {
  const { trace, model } = await Truth.of(api, TEXT);
  await start(page, site);
  const all = found.heads.flatMap((heads, block) => heads.map((value, head) => ({ block, head, value })));
  for (const [name, most, order] of [['Heads that added most', 6, -1], ['Heads that took most from it', 3, 1]] as const) {
    const wanted = all.filter((each) => each.value * order < 0).sort((a, b) => (a.value - b.value) * order).slice(0, most);
    if (!wanted.length) continue;
    const listed = await read(rows(page, name));
    expect(listed).toHaveLength(wanted.length);
    for (const [i, row] of listed.entries()) {
      // equal to four digits: the order of two that are closer is the sum's
      expect(Math.abs(row.value - (wanted[i]?.value ?? NaN))).toBeLessThanOrEqual(2e-4 * Math.max(0.01, ...all.map((each) => Math.abs(each.value))));
      const [block = -1, head = -1] = row.index;
      expect(row.text).toContain(signed(row.value));
      expect(Math.abs(row.value - (found.heads[block]?.[head] ?? NaN))).toBeLessThanOrEqual(2e-4 * Math.max(0.01, Math.abs(row.value)));
      // the key that it looks at, the first aside, is the engine's
      const weights = await engine(TEXT, trace.tokens.map((_, key) => ({ site: `blocks.${block}.attn.pattern`, index: [head, trace.n_pos - 1, key] })));
      const best = weights.indexOf(Math.max(...weights.slice(1)), 1);
      expect(row.text).toContain(`${trace.tokens[best]?.display} ${percent(weights[best])}`);
    }
  }
  expect(all).toHaveLength(model.config.n_layer * model.config.n_head);

  const first = rows(page, 'Heads that added most').first();
  const [block, head] = (await read(rows(page, 'Heads that added most')))[0]?.index ?? [];
  await first.click();
  await stage(page, 'pattern');
  expect([at(page, 'block'), at(page, 'head') ?? '0', at(page, 'open'), at(page, 'panel')]).toEqual([String(block), String(head), 'pattern', 'find']);
  await expect(first).toHaveAttribute('aria-current', 'true');
  if (machine === 'default') expect(block).toBeGreaterThan(0);

  // all of them stand under what each block did
  await panel(page).getByRole('button', { name: /^all \d+ heads/ }).click();
  await stage(page, 'did');
  await expect(page.getByRole('application', { name: /What each head added/ })).toBeVisible({ timeout: SLOW });
});

it('heads follow the candidate and the position that are chosen', async ({ page, site, api }) => {
  const { trace, model } = await Truth.of(api, TEXT);
  await start(page, site);
  const { candidates } = await api.next(trace, 2);
  const [, second] = candidates;
  await panel(page).getByLabel('Position', { exact: true }).selectOption({ index: 2 });
  await expect.poll(() => at(page, 'pos')).toBe('2');
  await settled(page);
  await panel(page).getByLabel('Candidate', { exact: true }).selectOption(String(second?.token.id));
  await settled(page);
  expect(at(page, 'token')).toBe(String(second?.token.id));
  const answer = await api.attribution(trace, second?.token.id ?? 0, 2);
  const most = answer.parts.filter((part) => part.kind === 'head').sort((a, b) => (b.value ?? 0) - (a.value ?? 0))[0];
  await expect.poll(async () => (await read(rows(page, 'Heads that added most')))[0]?.index).toEqual([most?.block, most?.head]);
  expect((await read(rows(page, 'Heads that added most')))[0]?.text).toContain(signed(most?.value ?? NaN));
  // a token that is no candidate is named, too
  const rare = Array.from({ length: model.config.n_vocab }, (_, id) => id).find((id) => !candidates.some((each) => each.token.id === id)) ?? 0;
  await visit(page, { text: TEXT, panel: 'find', token: rare });
  await expect(panel(page).getByLabel('Candidate', { exact: true })).toHaveValue(String(rare));
});

it('which part: attention, MLPs and the rest come to the logit, and lead to what each block did', async ({ page, site, found }) => {
  await start(page, site);
  const listed = await read(rows(page, 'Which part'));
  const sum = (values: number[]): number => values.reduce((all, value) => all + value, 0);
  const wanted = [sum(found.attn), sum(found.mlp), found.logit - sum(found.attn) - sum(found.mlp)];
  expect(listed.map((row) => row.text.split(/[+−]/)[0]?.trim())).toEqual(['attention', 'MLPs', 'the rest']);
  const near = 2e-4 * Math.max(1, Math.abs(found.logit), ...wanted.map(Math.abs));
  for (const [i, row] of listed.entries()) expect(Math.abs(row.value - (wanted[i] ?? NaN))).toBeLessThanOrEqual(near);
  const cents = (text: string): number => Math.round(100 * Number((/[+−]?[\d.]+$/.exec(text.trim())?.[0] ?? '').replace('−', '-')));
  const total = await panel(page).getByRole('region', { name: 'Which part' }).locator('h3 .num').innerText();
  expect(sum(listed.map((row) => cents(row.text)))).toBe(cents(total));
  await rows(page, 'Which part').first().click();
  await stage(page, 'did');
});

it('neurons: those that wrote most, with how strongly they fire, and a click pins the one that was chosen', async ({ page, site, api, found }) => {
  const { trace } = await Truth.of(api, TEXT);
  const n_pos = trace.n_pos - 1;
  await start(page, site, { find: 'neurons' });
  const listed = await read(rows(page, 'Neurons that wrote most'));
  expect(listed).toHaveLength(12);
  for (const [i, row] of listed.entries()) {
    const [block, neuron] = row.index;
    const own = found.neurons.find((each) => each[0] === block && each[1] === neuron);
    const [, , activation = NaN, wrote = NaN] = own ?? [];
    expect(row.text.startsWith(`${block}.${neuron}`), `${row.text} is neuron ${block}.${neuron}`).toBe(true);
    const near = 2e-4 * Math.abs(found.neurons[0]?.[3] ?? 1);
    expect(Math.abs(row.value - wrote)).toBeLessThanOrEqual(near);
    // the order is that of what they wrote: equal but for rounding, where two are that close
    expect(Math.abs(Math.abs(row.value) - Math.abs(found.neurons[i]?.[3] ?? NaN))).toBeLessThanOrEqual(near);
    expect(row.text).toContain(signed(row.value));
    expect(row.says).toContain(`fires with ${short(activation)}`);
  }
  const [block, neuron] = listed[1]?.index ?? [];
  await rows(page, 'Neurons that wrote most').nth(1).click();
  await stage(page, 'mlp');
  expect([at(page, 'block'), at(page, 'open'), at(page, 'pin')]).toEqual([String(block), 'mlp', `blocks.${block}.mlp.post:${n_pos},${neuron}`]);
  await expect(page.getByRole('complementary', { name: 'Where this number comes from' }).locator('.value')).toHaveAttribute('data-index', `${n_pos},${neuron}`);
  // Esc leaves the pin first, then the panel, then the stage
  for (const [gone, stays] of [['pin', 'panel'], ['panel', 'open'], ['open', 'block']] as const) {
    await page.keyboard.press('Escape');
    await expect.poll(() => at(page, gone)).toBeNull();
    expect(at(page, stays)).not.toBeNull();
  }
});

it('habits: the detectors’ heads, in order, and a click unfolds one', async ({ page, site, found }) => {
  await start(page, site, { find: 'habits' });
  const { seed, n_sequences, length } = found.habits;
  await expect(panel(page)).toContainText(`over ${n_sequences} rows of ${length} random pieces said twice (seed ${seed})`, { timeout: SLOW });
  const habits = [['induction', 'What came after it last time'], ['duplicate_token', 'The same piece earlier'], ['previous_token', 'The piece before'], ['first_token', 'The first piece']] as const;
  for (const [i, [id, title]] of habits.entries()) {
    if (i) await panel(page).locator('.habit', { hasText: title }).click();
    const scores = (found.habits[id] as number[][]).flat().sort((a, b) => b - a).slice(0, 8);
    const listed = await read(rows(page, title));
    expect(listed).toHaveLength(scores.length);
    for (const [j, row] of listed.entries()) {
      const [block = -1, head = -1] = row.index;
      expect(Math.abs(row.value - (scores[j] ?? NaN)), `${title}, ${block}.${head}`).toBeLessThanOrEqual(1e-5);
      expect(Math.abs(row.value - ((found.habits[id] as number[][])[block]?.[head] ?? NaN))).toBeLessThanOrEqual(1e-5);
      expect(row.text).toContain(percent(row.value));
    }
  }
  const [block, head] = (await read(rows(page, 'The first piece')))[0]?.index ?? [];
  await rows(page, 'The first piece').first().click();
  await stage(page, 'pattern');
  expect([at(page, 'block'), at(page, 'head') ?? '0']).toEqual([String(block), String(head)]);
});

it('pieces: where they stand, and their chance of coming next', async ({ page, site, api, engine }) => {
  const { trace } = await Truth.of(api, TEXT);
  await start(page, site, { find: 'pieces' });
  const wanted = trace.tokens[1]?.text.trim() ?? '';
  await panel(page).getByLabel('Search pieces').fill(wanted);
  const places = panel(page).getByRole('region', { name: 'In your sentence' }).getByRole('button');
  const holds = trace.tokens.flatMap((token, i) => (token.text.toLowerCase().includes(wanted.toLowerCase()) ? [i] : []));
  await expect(places).toHaveCount(holds.length);
  const listed = await read(rows(page, 'Pieces of the vocabulary'));
  expect(listed.length).toBeGreaterThan(0);
  const { log_sum_exp } = await api.next(trace);
  const logits = await engine(TEXT, listed.map(({ index }) => ({ site: 'logits', index })));
  for (const [i, row] of listed.entries()) {
    expect(Math.abs(row.value - Math.exp((logits[i] ?? NaN) - (log_sum_exp ?? NaN)))).toBeLessThanOrEqual(1e-5);
    expect(row.text).toContain(percent(row.value));
    expect(row.text.toLowerCase()).toContain(wanted.toLowerCase());
  }
  await places.first().click();
  await expect.poll(() => at(page, 'pos')).toBe(String(holds[0]));
  await settled(page);
  const after = await read(rows(page, 'Pieces of the vocabulary'));
  await rows(page, 'Pieces of the vocabulary').first().click();
  const logitsStage = await stage(page, 'logits');
  const [row] = after;
  expect(at(page, 'token')).toBe(String(row?.index[1]));
  await expect(logitsStage.locator(`[data-site=logits][data-index="${holds[0]},${row?.index[1]}"]`).first()).toBeVisible({ timeout: SLOW });
  // the search is in the address, and its own number finds a piece
  expect(at(page, 'query')).toBe(wanted);
  await panel(page).getByLabel('Search pieces').fill(String(trace.tokens[0]?.id));
  await expect.poll(async () => (await read(rows(page, 'Pieces of the vocabulary')))[0]?.index[1]).toBe(trace.tokens[0]?.id);
  await panel(page).getByLabel('Search pieces').fill('zqxjkvbwzqxjkvbw');
  await expect(panel(page)).toContainText('No piece is spelled like that.');
});

it('by keys alone, from the word to a head’s pattern', async ({ page, site }) => {
  await open(page, site, { text: TEXT });
  await page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Find', exact: true }).focus();
  await page.keyboard.press('Enter');
  const list = rows(page, 'Heads that added most');
  await expect(list.first()).toBeVisible({ timeout: SLOW });
  const focused = (target: Locator): Promise<boolean> => target.evaluate((element) => element === document.activeElement);
  const tabs = panel(page).getByRole('tab');
  for (let i = 0; i < 12 && !(await focused(tabs.first())); i++) await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowRight');
  await expect(tabs.nth(1)).toBeFocused();
  await expect(tabs.nth(1)).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('ArrowLeft');
  await expect(list.first()).toBeVisible({ timeout: SLOW });
  for (let i = 0; i < 6 && !(await focused(list.first())); i++) await page.keyboard.press('Tab');
  await expect(list.first()).toBeFocused();
  const many = (await list.count()) > 1;
  if (many) {
    await page.keyboard.press('ArrowDown');
    await expect(list.nth(1)).toBeFocused();
  }
  await page.keyboard.press('Enter');
  await stage(page, 'pattern');
  await expect(list.nth(many ? 1 : 0)).toHaveAttribute('aria-current', 'true');
});

it('the panel stays while the sentence changes, and its numbers are the new one’s', async ({ page, site, api }) => {
  await start(page, site);
  const other = `${TEXT} bring`;
  await page.getByLabel('Your sentence').fill(other);
  await settled(page);
  const { trace } = await Truth.of(api, other);
  const { candidates } = await api.next(trace);
  const answer = await api.attribution(trace, candidates[0]?.token.id ?? 0);
  const most = answer.parts.filter((part) => part.kind === 'head').sort((a, b) => (b.value ?? 0) - (a.value ?? 0))[0];
  await expect.poll(async () => (await read(rows(page, 'Heads that added most')))[0]?.text).toContain(signed(most?.value ?? NaN));
});

const VIEWS: Record<string, string>[] = [{}, { find: 'neurons' }, { find: 'habits' }, { find: 'pieces', query: 'robot' }];
for (const scheme of ['light', 'dark'] as const) {
  it(`axe finds nothing serious, ${scheme}; nothing moves; every label can be read; no width overflows`, async ({ page, site, machine }) => {
    test.skip(machine !== 'default', 'what is looked at does not depend on the model');
    test.setTimeout(180_000);
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await start(page, site);
    for (const [width, height] of [[1440, 900], [800, 1000], [390, 844]] as const) {
      await page.setViewportSize({ width, height });
      for (const query of VIEWS) {
        await visit(page, { text: TEXT, panel: 'find', ...query });
        await expect(panel(page).locator('.waiting')).toHaveCount(0, { timeout: SLOW });
        const where = `${JSON.stringify(query)} at ${width} px`;
        const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        expect.soft(needs, where).toBeLessThanOrEqual(has ?? 0);
        expect.soft(await page.locator('.left .scroll').evaluate((element) => element.scrollWidth - element.clientWidth), where).toBeLessThanOrEqual(0);
        expect.soft(await page.evaluate(() => document.getAnimations().filter((each) => each.playState === 'running').length), where).toBe(0);
        const small = await panel(page).evaluate((element) => [...element.querySelectorAll('*')]
          .filter((each) => each.textContent?.trim() && !each.closest('.unseen') && parseFloat(getComputedStyle(each).fontSize) < 12).length);
        expect.soft(small, where).toBe(0);
        const { violations } = await new AxeBuilder({ page }).include('[data-panel=find]').include('nav').analyze();
        const serious = violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
        expect.soft(serious.map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.target.join(' ')).join(' | ')}`), where).toEqual([]);
      }
    }
  });
}

it('on a narrow screen the panel is a screen of its own, and gives way to what was found', async ({ page, site }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await start(page, site);
  await expect(page.getByRole('region', { name: 'The whole model' })).toBeHidden();
  await rows(page, 'Heads that added most').first().click();
  await stage(page, 'pattern');
  await expect(panel(page)).toHaveCount(0);
  await page.goBack();
  await expect(panel(page)).toBeVisible();
});
