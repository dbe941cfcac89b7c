/** Play, on every model: each frame shows the engine's numbers, a time is a frame whatever was before, and hands steer it. */
import AxeBuilder from '@axe-core/playwright';
import type { Locator, Page } from '@playwright/test';
import { STOPS } from '../src/story/stops';
import { drawn, open, settled, SLOW, Truth, visit } from './look';
import { expect, test } from './server';

const TEXT = 'The robots bring peace. The robots';
const REDUCED = { reducedMotion: 'reduce' } as const;

interface Place {
  site: string;
  index: number[];
  value: number;
  text?: string;
}

const film = (page: Page): Locator => page.locator('[data-pane=play] .film');
const panel = (page: Page): Locator => page.locator('[data-panel=play]');
const button = (page: Page, name: string): Locator => panel(page).getByRole('button', { name, exact: true });
const time = async (page: Page): Promise<number> => Number(await film(page).getAttribute('data-t'));
const step = async (page: Page): Promise<number> => Number(await film(page).getAttribute('data-step'));

async function start(page: Page, site: string, query: Record<string, string | number> = {}): Promise<void> {
  await open(page, site, { text: TEXT, panel: 'play', open: 'play', ...query });
  await expect(film(page)).toBeVisible({ timeout: SLOW });
  await settled(page);
}

async function at(page: Page, t: number | string): Promise<void> {
  await visit(page, { text: TEXT, panel: 'play', open: 'play', t });
  await expect(film(page)).toHaveAttribute('data-t', String(t));
}

async function lasts(page: Page): Promise<number> {
  return Number(await panel(page).getByRole('slider', { name: 'Time' }).getAttribute('max'));
}

/** What the frame draws: some cells of every picture, and every number that is written with its place. */
function places(page: Page): Promise<{ cells: Place[]; texts: Place[] }> {
  return film(page).evaluate((element) => {
    interface Sheet { site: string; rows: number; cols: number; data: Float32Array; index(row: number, col: number): number[] }
    interface Mark { kind: string; opacity: number; sheet?: Sheet; next?: Sheet | null; mix?: number; site?: string; index?: number[]; value?: number; text?: string }
    const { marks } = (element as unknown as { __film: { marks: Mark[] } }).__film;
    const cells: Place[] = [];
    for (const mark of marks) {
      for (const sheet of [mark.sheet, mark.next]) {
        if (!sheet) continue;
        const { rows, cols } = sheet;
        for (const [row = 0, col = 0] of [[0, 0], [rows - 1, cols - 1], [rows >> 1, cols >> 1], [rows - 1, cols >> 2]]) {
          cells.push({ site: sheet.site, index: sheet.index(row, col), value: sheet.data[row * cols + col] ?? NaN });
        }
      }
    }
    const texts = marks.flatMap((mark) => (mark.kind === 'text' && mark.site && mark.value !== undefined ? [{ site: mark.site, index: mark.index ?? [], value: mark.value, text: mark.text }] : []));
    return { cells, texts };
  });
}

const frozen = (page: Page): Promise<string> => film(page).evaluate((element) => JSON.stringify((element as unknown as { __film: unknown }).__film));

test('every number of every step is the engine’s', async ({ page, site, api }) => {
  test.setTimeout(240_000);
  await page.emulateMedia(REDUCED);
  await start(page, site);
  const truth = await Truth.of(api, TEXT);
  const seen = new Set<string>();
  const steps = Number(/of (\d+)/.exec(await panel(page).getByText(/^step \d+ of \d+$/).innerText())?.[1]);
  expect(steps).toBeGreaterThan(25);
  for (let i = 0; i < steps; i++) {
    expect(await step(page)).toBe(i);
    const { cells, texts } = await places(page);
    for (const place of [...cells, ...texts]) {
      const key = `${place.site}:${place.index.join()}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const real = await truth.value(place.site, place.index);
      // a sum's own value is the formula's, taken again
      if (!Number.isFinite(real)) expect(place.value, key).toBe(real);
      else expect(Math.abs(place.value - real), key).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(real)));
    }
    if (i < steps - 1) await button(page, 'Step').click();
  }
  await expect(button(page, 'Step')).toBeDisabled();
  expect([...seen].filter((key) => key.includes('attn.pattern')).length).toBeGreaterThan(3);
  expect(seen.size).toBeGreaterThan(150);
});

test('a time is a frame, whatever was before; nothing plays by itself', async ({ page, site }) => {
  await start(page, site);
  await page.waitForTimeout(400);
  expect(await time(page)).toBe(0);
  await expect(button(page, 'Play')).toBeVisible();
  const all = await lasts(page);
  const chosen = [0.2, 0.45, 0.7, 0.93].map((share) => Math.round(all * share * 100) / 100);
  const first: string[] = [];
  for (const t of chosen) {
    await at(page, t);
    first.push(await frozen(page));
  }
  expect(new Set(first).size).toBe(chosen.length);
  for (const [i, t] of [...chosen.entries()].reverse()) {
    await at(page, t);
    expect(await frozen(page)).toBe(first[i]);
  }
  // and as a link, on a page that has seen nothing yet
  await page.goto(page.url());
  await drawn(page);
  await expect(film(page)).toHaveAttribute('data-t', String(chosen[0]), { timeout: SLOW });
  expect(await frozen(page)).toBe(first[0]);
});

test('plays, pauses, runs faster, steps and is dragged; the address keeps where it stands', async ({ page, site }) => {
  await start(page, site);
  const query = (name: string): number => Number(new URL(page.url()).searchParams.get(name));
  await button(page, 'Play').click();
  await expect.poll(() => time(page)).toBeGreaterThan(0.5);
  await button(page, 'Pause').click();
  const rested = await time(page);
  await page.waitForTimeout(300);
  expect(await time(page)).toBe(rested);
  await expect.poll(() => query('t')).toBeCloseTo(rested, 1);

  // four times as fast: a second of the hand is about four of the film
  await panel(page).getByLabel('Speed').selectOption({ label: '4×' });
  const from = Date.now();
  await button(page, 'Play').click();
  await expect.poll(() => time(page)).toBeGreaterThan(rested + 3);
  await button(page, 'Pause').click();
  expect(((await time(page)) - rested) / ((Date.now() - from) / 1000)).toBeGreaterThan(1.2);

  const before = await step(page);
  await button(page, 'Step').click();
  await button(page, 'Step').click();
  expect(await step(page)).toBeGreaterThan(before);
  await button(page, 'Back').click();
  await expect.poll(() => step(page)).toBeLessThan(before + 2);

  // by keys: the slider, and, where nothing has the focus, the space bar and the arrows
  const slider = panel(page).getByRole('slider', { name: 'Time' });
  await slider.focus();
  await page.keyboard.press('End');
  await expect.poll(() => time(page)).toBe(await lasts(page));
  await page.keyboard.press('Home');
  await expect.poll(() => time(page)).toBe(0);
  await slider.blur();
  await page.keyboard.press('ArrowRight');
  await expect.poll(() => step(page)).toBe(0);
  await page.keyboard.press('ArrowRight');
  await expect.poll(() => step(page)).toBe(1);
  await page.keyboard.press(' ');
  await expect(button(page, 'Pause')).toBeVisible();
  await page.keyboard.press(' ');
  await expect(button(page, 'Play')).toBeVisible();

  // with the panel, the film goes, and its time
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await expect(panel(page)).toHaveCount(0);
  expect(new URL(page.url()).searchParams.get('t')).toBeNull();
});

test('starts at any of the twelve stops', async ({ page, site }) => {
  await start(page, site);
  const list = panel(page).getByRole('navigation', { name: 'Start at a stop' });
  await expect(list.getByRole('button')).toHaveCount(12);
  for (const stop of STOPS) {
    const one = list.getByRole('button').filter({ has: page.getByText(stop.title, { exact: true }) });
    await one.click();
    await expect(one).toHaveAttribute('aria-current', 'step');
  }
  await at(page, 0);
  // from the reading line it begins where that stands
  await visit(page, { text: TEXT, stop: 'mix', panel: 'play', open: 'play' });
  await expect.poll(() => time(page)).toBeGreaterThan(5);
  await expect(list.locator('[aria-current]')).toHaveText(/Mix and add/);
});

test('with less motion there are stills', async ({ page, site }) => {
  await page.emulateMedia(REDUCED);
  await start(page, site);
  await expect(button(page, 'Play')).toHaveCount(0);
  await expect(panel(page).getByLabel('Speed')).toHaveCount(0);
  const stills = new Set<string>();
  for (let i = 0; i < 4; i++) {
    stills.add(await frozen(page));
    const now = await frozen(page);
    await page.waitForTimeout(150);
    expect(await frozen(page)).toBe(now);
    await button(page, 'Step').click();
  }
  expect(stills.size).toBe(4);
  // any moment of a step is its end
  const all = await lasts(page);
  await visit(page, { text: TEXT, panel: 'play', open: 'play', t: Math.round(all * 50) / 100 });
  const [one] = [await frozen(page)];
  const { marks } = JSON.parse(one) as { marks: { kind: string; mix?: number; move?: number; shown?: number }[] };
  for (const mark of marks.filter((each) => each.kind === 'cells')) expect([mark.mix, mark.move, mark.shown].every((each) => each === 0 || each === 1)).toBe(true);
});

test('its numbers can be walked by keys, pinned, and read as a table', async ({ page, site, api }) => {
  await page.emulateMedia(REDUCED);
  await start(page, site);
  await panel(page).getByRole('button', { name: /^Pattern/ }).click();
  await expect(film(page)).toHaveAttribute('data-site', /attn\.pattern$/);
  await film(page).focus();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('ArrowRight');
  await expect(film(page).locator('[aria-live]')).toHaveText(/.+: .+/);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/pin=blocks\.\d+\.attn\.pattern:/);
  const [, name = '', index = ''] = /pin=([^:]+):([\d,]+)/.exec(decodeURIComponent(page.url())) ?? [];
  const inspector = page.getByRole('complementary', { name: 'Where this number comes from' });
  await expect(inspector.locator('.value')).toHaveAttribute('data-index', index);
  const truth = await Truth.of(api, TEXT);
  expect(await film(page).evaluate((element, [at]) => {
    const { main } = (element as unknown as { __film: { main: { data: Float32Array; rows: number; cols: number; index(r: number, c: number): number[] } } }).__film;
    for (let i = 0; i < main.rows * main.cols; i++) if (main.index(Math.floor(i / main.cols), i % main.cols).join() === at) return main.data[i];
    return NaN;
  }, [index])).toBeCloseTo(await truth.value(name, index.split(',').map(Number)), 6);
  await page.keyboard.press('Escape');
  await page.locator('[data-pane=play]').getByRole('button', { name: 'as table' }).click();
  await expect(page.locator('[data-pane=play] table tbody tr')).toHaveCount(Math.min(16, truth.trace.n_pos));
});

test('the film is seen without scrolling: the whole gives it its place', async ({ page, site }) => {
  const whole = page.getByRole('region', { name: 'The whole model' });
  for (const [width, height, text] of [[1440, 900, 'a b c d e f g'], [1366, 768, 'a b c d e']] as const) {
    await page.setViewportSize({ width, height });
    await start(page, site, { text, t: 20 });
    const n = await film(page).evaluate((element) => (element as unknown as { __film: { main?: { rows: number } } }).__film.main?.rows ?? 0);
    expect(n).toBeGreaterThan(0);
    await expect(whole).toBeHidden();
    const box = await film(page).boundingBox();
    expect((box?.y ?? NaN) + (box?.height ?? NaN), `${width} × ${height}`).toBeLessThanOrEqual(height);
    expect(await page.locator('main').evaluate((main) => main.scrollTop)).toBe(0);
  }
  await page.getByRole('button', { name: 'Close the picture' }).click();
  await expect(whole).toBeVisible();
});

test('another sentence is another film, and keeps the time', async ({ page, site }) => {
  await start(page, site, { t: 12 });
  await page.getByLabel('Your sentence').fill('A cat');
  await settled(page);
  await expect(page.locator('[data-pane=play] .words')).toBeVisible();
  await expect.poll(() => film(page).evaluate((element) => JSON.stringify((element as unknown as { __film: unknown }).__film).includes('robots'))).toBe(false);
  expect(await time(page)).toBe(12);
});

test('for everyone: axe, light and dark, and narrow', async ({ page, site }) => {
  test.setTimeout(150_000);
  await page.emulateMedia(REDUCED);
  await start(page, site);
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ ...REDUCED, colorScheme: scheme });
    for (const stop of [/^Scores/, /^Chances/]) {
      await panel(page).getByRole('button', { name: stop }).click();
      const { violations } = await new AxeBuilder({ page }).analyze();
      const serious = violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
      expect.soft(serious.map((each) => `${each.id}: ${each.nodes.map((node) => node.target.join(' ')).join(' | ')}`), scheme).toEqual([]);
    }
  }
  await page.setViewportSize({ width: 360, height: 740 });
  await start(page, site);
  const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  expect(needs).toBeLessThanOrEqual(has ?? 0);
  await button(page, 'Step').click();
  await expect(film(page)).toBeVisible();
  expect((await film(page).boundingBox())?.width).toBeLessThanOrEqual(360);
});
