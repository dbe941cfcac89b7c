/** A long text beside the squares and the whole: stages whose rows scroll, lists, the panels, what is taken away, the address.
 * What is drawn is the engine's, little of it is moved or put into the document, and what is too long is said in one sentence. */
import type { Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import type { CompareAnswer, Manifest } from '../src/protocol/types';
import { press, SLOW } from './look';
import { expect, test, type Engine } from './server';

const SENTENCE = 'The robots will bring peace to the people of the city and then they will go home again before the sun';
/** about a thousand pieces of the default model */
const WORDS = Array.from({ length: 60 }, () => SENTENCE).join(' ').split(' ').slice(0, 1000).join(' ');
/** of the tiny models a letter is a piece */
const LETTERS = WORDS.slice(0, 480);
const OTHER = LETTERS.replace('peace', 'bread').slice(0, 478);
const MOST_BYTES = 3_000_000;
/** in the whole document, whatever is open */
const MOST_ELEMENTS = 6000;
/** device pixels along a side of a canvas: browsers draw 32,767 at most */
const TALLEST = 8192;

interface Drawn {
  site: string;
  index: number[];
  value: number;
}

/** Cells of what is drawn of each picture in the pane: here and there among the rows that are there. */
function cellsOf(page: Page): Promise<Drawn[]> {
  return page.locator('.pane [aria-roledescription=matrix]').evaluateAll((all) =>
    all.flatMap((element) => {
      const { site, rows, cols, cell } = (element as unknown as { __cutaway: { site: string; rows: number; cols: number; cell(row: number, col: number): { index: number[]; value: number } } }).__cutaway;
      const at = Array.from({ length: 96 }, (_, i) => Math.floor(((rows - 1) * i) / 95));
      return at.map((row, i) => ({ site, ...cell(row, (i * 7) % cols) })).filter(({ value }) => Number.isFinite(value)).map(({ site, index, value }) => ({ site, index, value }));
    }),
  );
}

async function to(page: Page, query: Record<string, string>): Promise<void> {
  await page.evaluate((search) => {
    history.pushState(null, '', `/?${search}`);
    window.dispatchEvent(new PopStateEvent('popstate'));
  }, new URLSearchParams(query).toString());
}

/** requests under way, of each page */
const pending = new WeakMap<Page, Set<unknown>>();

/** Nothing is on its way, and nothing new is asked for. */
async function quiet(page: Page): Promise<void> {
  await expect(page.locator('.busy.on')).toHaveCount(0, { timeout: SLOW });
  const own = pending.get(page);
  let since = Date.now();
  await expect.poll(() => (own?.size ? (since = Date.now()) && false : Date.now() - since > 150), { timeout: SLOW, intervals: [30] }).toBe(true);
  await expect(page.locator('.pane .waiting, .panel .waiting')).toHaveCount(0, { timeout: SLOW });
}

test.beforeEach(({ page }) => {
  const own = new Set<unknown>();
  pending.set(page, own);
  page.on('request', (request) => own.add(request));
  for (const end of ['requestfinished', 'requestfailed'] as const) page.on(end as 'requestfinished', (request) => own.delete(request));
});

async function weight(page: Page): Promise<{ elements: number; tallest: number; alerts: string[] }> {
  return page.evaluate(() => ({
    elements: document.querySelectorAll('*').length,
    tallest: Math.max(0, ...[...document.querySelectorAll('canvas')].flatMap((each) => [each.width, each.height])),
    alerts: [...document.querySelectorAll('[role=alert]')].map((each) => each.textContent ?? ''),
  }));
}

test('a thousand pieces: each stage and panel opens, moves little and puts little into the document', async ({ page, site, engine, machine }) => {
  test.skip(machine !== 'default', 'the tiny models read fewer');
  test.setTimeout(150_000);
  let moved = 0;
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (moved += encodedDataLength));
  // a link to it is read by the server and the browser alike
  await page.goto(`${site}/?${new URLSearchParams({ text: WORDS })}`);
  await expect(page.getByRole('listbox', { name: 'Positions' }).first()).toBeVisible({ timeout: SLOW });
  const [block, head] = ['3', '2'];
  const views: Record<string, Record<string, string>> = {
    pieces: { open: 'pieces' }, embedding: { open: 'embedding' }, qkv: { open: 'qkv', block, head }, mix: { open: 'mix', block, head },
    logits: { open: 'logits' }, did: { open: 'did' }, find: { panel: 'find' }, places: { panel: 'find', find: 'pieces', query: 'the' },
    generate: { panel: 'generate', open: 'generate' }, play: { panel: 'play', open: 'play', t: '20' },
  };
  for (const [name, view] of Object.entries(views)) {
    const before = moved;
    await to(page, { text: WORDS, ...view });
    await expect(page.locator(view['panel'] ? `[data-panel=${view['panel']}]` : `[data-stage=${name}]`)).toBeVisible({ timeout: SLOW });
    await quiet(page);
    const { elements, tallest, alerts } = await weight(page);
    expect(alerts, name).toEqual([]);
    expect(elements, `${name}: elements`).toBeLessThan(MOST_ELEMENTS);
    expect(tallest, `${name}: the largest canvas`).toBeLessThan(TALLEST);
    expect(moved - before, `${name}: bytes`).toBeLessThan(MOST_BYTES);
    if (name !== 'qkv' && name !== 'mix') continue;
    const cells = (await cellsOf(page)).filter((each) => /attn\.(q|k|v|z|pattern)$|ln1\.out$/.test(each.site));
    expect(cells.length, `${name}: cells`).toBeGreaterThan(20);
    const real = await engine(WORDS, cells);
    cells.forEach(({ site, index, value }, i) => expect(Math.abs(value - (real[i] ?? NaN)), `${site} at ${index.join()}`).toBeLessThanOrEqual(1e-5 + 1e-4 * Math.abs(value)));
  }
});

async function start(page: Page, site: string, query: Record<string, string>): Promise<void> {
  await page.goto(`${site}/?${new URLSearchParams({ text: LETTERS, ...query })}`);
  await expect(page.locator('.whole [role=option]').first()).toBeVisible({ timeout: SLOW });
  await quiet(page);
}

async function same(engine: Engine, cells: readonly Drawn[]): Promise<void> {
  const real = await engine(LETTERS, cells);
  cells.forEach(({ site, index, value }, i) => expect(Math.abs(value - (real[i] ?? NaN)), `${site} at ${index.join()}: ${value}, the engine says ${real[i]}`).toBeLessThanOrEqual(1e-5 + 1e-4 * Math.abs(value)));
}

test.describe('on a tiny model', () => {
  test.beforeEach(({ machine }) => test.skip(machine === 'default', 'it takes seconds there'));

  test('rows scroll under what they are made with; what comes into sight is the engine’s, and where one is, is said', async ({ page, site, engine, api }) => {
    await start(page, site, { open: 'embedding' });
    const rotary = (await api.model()).sites.some(({ template }) => template.endsWith('attn.rot_q'));
    for (const [stage, query] of Object.entries<Record<string, string>>({ embedding: {}, qkv: { block: '1', head: '2' }, mix: { block: '1', head: '2' }, ...(rotary ? {} : { position: {} }) })) {
      await to(page, { text: LETTERS, open: stage, ...query });
      const pane = page.locator(`[data-stage=${stage}]`);
      const says = pane.getByText(/of 480; the others scroll into sight/).first();
      await expect(says).toBeVisible({ timeout: SLOW });
      await quiet(page);
      // the selected position, or the key that is looked at most, is in sight
      if (stage !== 'mix') await expect(says).toHaveText(/^positions \d+ to 479 of 480/);
      const seen = new Set<number>();
      for (const to of [null, 0, 0.5, 1]) {
        if (to !== null) await pane.locator('[data-take=in-sight]').first().evaluate((box, share) => (box.scrollTop = share * box.scrollHeight), to);
        await page.waitForTimeout(100);
        await quiet(page);
        const cells = (await cellsOf(page)).filter(({ site }) => /^(embed|pos_embed|blocks\.1\.(ln1\.out|attn\.(q|k|v)))$/.test(site));
        for (const { index } of cells) seen.add(index[0] ?? 0);
        await same(engine, cells);
      }
      expect([...seen].filter((pos) => pos < 40).length, `${stage}: rows of the beginning`).toBeGreaterThan(0);
      expect([...seen].filter((pos) => pos > 440).length, `${stage}: rows of the end`).toBeGreaterThan(0);
      expect((await weight(page)).tallest).toBeLessThan(TALLEST);
    }
  });

  test('a table of many rows has those in sight in the document, and all of its file', async ({ page, site, api }) => {
    await start(page, site, { open: 'pieces' });
    const pane = page.locator('[data-stage=pieces]');
    await pane.getByRole('button', { name: 'as table' }).click();
    const table = pane.getByRole('region', { name: /as a table/ });
    const { tokens } = await api.trace(LETTERS);
    await expect(table.getByRole('row').nth(1)).toContainText(String(tokens[0]?.id));
    expect(await table.locator('tbody th').count()).toBeLessThan(120);
    await table.evaluate((box) => (box.scrollTop = box.scrollHeight));
    await expect(table.getByRole('row').last()).toHaveAttribute('aria-rowindex', '481');
    await expect(table.locator('tbody th').last()).toHaveText(tokens[479]?.display ?? '');
    await expect(table.locator('tbody td').nth(-2)).toHaveText(String(tokens[479]?.id));
    const saved = page.waitForEvent('download');
    await table.getByRole('button', { name: /as CSV/ }).click();
    const csv = readFileSync(await (await saved).path(), 'utf8').trim().split('\r\n');
    expect(csv).toHaveLength(481);
    expect(csv.at(-1)?.split(',')[1]).toBe(String(tokens[479]?.id));
  });

  test('a picture that is taken away has the rows in sight, and its title above them', async ({ page, site }) => {
    await start(page, site, { open: 'qkv', block: '1' });
    const figure = page.locator('[data-stage=qkv] figure').first();
    await figure.getByRole('button', { name: /^download/i }).click();
    const saved = page.waitForEvent('download');
    await figure.getByRole('button', { name: 'SVG', exact: true }).click();
    const svg = readFileSync(await (await saved).path(), 'utf8');
    const [, height = '0'] = /^<svg[^>]* height="([\d.]+)"/.exec(svg) ?? [];
    expect(Number(height)).toBeLessThan(1400);
    expect(svg).toContain('n times weights');
    expect(svg).toContain('clip-path');
    expect(svg).toContain('of 480; the others scroll into sight');
  });

  test('one selected word came to its pieces; the list of what came next is there to its end', async ({ page, site, api }) => {
    await start(page, site, { open: 'pieces', pos: '200' });
    const asked: string[] = [];
    page.on('request', (request) => request.url().endsWith('/api/tokenize') && asked.push(request.postData() ?? ''));
    await to(page, { text: LETTERS, open: 'pieces', pos: '300' });
    await expect.poll(() => asked.length).toBe(1);
    expect(JSON.parse(asked[0] ?? '{}')).toMatchObject({ text: LETTERS, at: 300 });
    await expect(page.locator('[data-stage=pieces]').getByRole('heading', { name: /came together/ })).toBeVisible();

    await to(page, { text: LETTERS, open: 'logits', pos: '0' });
    const list = page.getByRole('listbox', { name: 'Every position, what it predicts and what came' });
    await expect(list.getByRole('option').first()).toHaveAttribute('aria-selected', 'true');
    expect(await list.getByRole('option').count()).toBeLessThan(60);
    await list.getByRole('option').first().press('End');
    const last = list.getByRole('option', { selected: true });
    await expect(last).toHaveAttribute('aria-posinset', '480');
    await expect(last).toBeFocused();
    const best = last.locator('[data-site="next.best"]');
    await expect(best).not.toBeEmpty();
    const { candidates } = await api.next(await api.trace(LETTERS), 479);
    await expect(best).toHaveAttribute('data-token', String(candidates[0]?.token.id));
  });

  test('two long sentences: pairs as they come into sight, each cosine the server’s', async ({ page, site, api }) => {
    await start(page, site, { panel: 'change', open: 'change.sentences', other: OTHER, switches: 'change-sentence' });
    const pane = page.locator('[data-pane=change]');
    const map = pane.locator('[data-site=cosine][aria-roledescription=matrix]');
    await expect(map).toBeVisible({ timeout: SLOW });
    await expect(pane.getByText(/^rows \d+ to \d+ of 4\d\d; the others scroll/)).toBeVisible();
    expect(await pane.locator('[data-column]').count()).toBeLessThan(700);
    const [one, two] = [await api.trace(LETTERS), await api.trace(OTHER)];
    for (const to of [0, 1]) {
      await pane.locator('[data-take=in-sight]').evaluate((box, share) => (box.scrollTop = share * box.scrollHeight), to);
      await page.waitForTimeout(100);
      await quiet(page);
      const cells = (await cellsOf(page)).filter((each) => each.site === 'cosine');
      expect(cells.length).toBeGreaterThan(3);
      const answer = await api.json<CompareAnswer>(`/api/traces/${one.id}/compare`, { other: two.id, pairs: cells.map(({ index: [a, b] }) => `${a}:${b}`).join() });
      cells.forEach(({ index: [, , depth = 0], value }, i) => expect(value).toBeCloseTo(answer.pairs[i]?.cosine[depth] ?? NaN, 5));
    }
    // of a long sentence the words around the place
    await expect(pane.getByText('around position')).toHaveCount(2);
  });

  test('a sweep of a long text: a range of places, each cell that of a patched run', async ({ page, site, api }) => {
    await start(page, site, { panel: 'change', open: 'change.sweep', other: OTHER, switches: 'change-sentence' });
    const pane = page.locator('[data-pane=change]');
    await expect(pane.getByLabel('First position')).toHaveValue('448', { timeout: SLOW });
    await expect(pane.getByLabel('Last position')).toHaveValue('479');
    const { config } = await api.model();
    const done = `${config.n_layer} of ${config.n_layer} blocks, done`;
    await pane.getByRole('button', { name: 'Start' }).click();
    await expect(pane.getByRole('status')).toHaveText(done, { timeout: SLOW });
    // where the sentences first differ
    await pane.getByRole('button', { name: /where they first differ/ }).click();
    const first = Number(await pane.getByLabel('First position').inputValue());
    expect(LETTERS[first]).not.toBe(OTHER[first]);
    expect(new URL(page.url()).searchParams.get('switches')).toContain(`swept-${first}-`);
    await pane.getByRole('button', { name: 'Start' }).click();
    await expect(pane.getByRole('status')).toHaveText(done, { timeout: SLOW });
    const picture = pane.locator('[data-site=sweep][aria-roledescription=matrix]');
    const found = await press(picture, 1, 1, 'hover');
    expect(found.index).toEqual([1, first + 1]);
    const [a, b] = [await api.trace(LETTERS), await api.trace(OTHER)];
    const [from, toward] = [(await api.next(a)).candidates[0]?.token.id ?? 0, (await api.next(b)).candidates[0]?.token.id ?? 0];
    const cell = await press(picture, 1, 1);
    await expect.poll(() => new URL(page.url()).searchParams.get('changes')).toContain('@blocks.1.resid_pre');
    await quiet(page);
    const patched = await page.waitForFunction(() => document.querySelector('[data-panel=change] [data-trace]')?.getAttribute('data-trace'));
    const logits = async (id: string): Promise<number> => {
      const read = (await api.values({ id } as Manifest, 'logits', { pos: a.n_pos - 1, vocab: [...new Set([toward, from])].sort((x, y) => x - y).join() })).data;
      const [low = 0, high = 0] = read;
      return toward === from ? low : toward < from ? low - high : high - low;
    };
    const [was, is] = [await logits(a.id), await logits(String(await patched.jsonValue()))];
    expect(cell.value).toBeCloseTo(is - was, 3);
  });

  test('a text longer than the context: one sentence, the last picture stays, and undo brings the text back', async ({ page, site, watched }) => {
    await start(page, site, {});
    const field = page.getByLabel('Your sentence');
    await field.fill('a'.repeat(600));
    const said = page.getByRole('alert');
    await expect(said).toHaveCount(1, { timeout: SLOW });
    await expect(said).toHaveText(/600 tokens.*520.*\.$/);
    await expect(page.locator('.whole [role=option]').first()).toBeVisible();
    await field.press('Control+z');
    await expect(field).toHaveValue(LETTERS);
    await expect(said).toHaveCount(0);
    // and as a link
    await page.goto(`${site}/?${new URLSearchParams({ text: 'a'.repeat(600) })}`);
    await expect(page.getByRole('alert')).toHaveText(/600 tokens/, { timeout: SLOW });
    // what is refused is told on the console too
    expect(watched.errors.length).toBeGreaterThan(0);
    watched.errors.splice(0, watched.errors.length, ...watched.errors.filter((each) => !each.includes('422')));
  });

  test('lists of a long text: the strip, the places of a piece', async ({ page, site }) => {
    await start(page, site, { panel: 'generate' });
    const panel = page.locator('[data-panel=generate]');
    await expect(panel.locator('.given .piece')).toHaveCount(300);
    await panel.getByRole('button', { name: 'all of them' }).click();
    await expect(panel.locator('.given .piece')).toHaveCount(480);
    await to(page, { text: LETTERS, panel: 'find', find: 'pieces', query: 'e' });
    const places = page.getByRole('region', { name: 'In your sentence' });
    const n = [...LETTERS].filter((each) => each === 'e').length;
    const shown = Math.min(n, 60);
    await expect(places.getByRole('listitem')).toHaveCount(shown);
    if (n > shown) {
      await places.getByRole('button', { name: /^show/ }).click();
      await expect(places.getByRole('listitem')).toHaveCount(n);
    }
  });
});
