/** For everyone: keys, names for screen readers, contrast, every width, reduced motion, and addresses that can be sent. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { drawn, open, pictures, press, settled, SLOW, stage, visit } from './look';
import { expect, test } from './server';

const OUTSIDE = ['pieces', 'embedding', 'norm_final', 'logits', 'draw', 'did'];
const INSIDE = ['norm', 'qkv', 'rope', 'scores', 'pattern', 'mix', 'norm2', 'mlp'];
const VIEWS: { name: string; query: Record<string, string | number> }[] = [
  { name: 'the whole', query: {} },
  { name: 'an open block', query: { block: 12 } },
  { name: 'the map', query: { panel: 'map' } },
  { name: 'help', query: { panel: 'help' } },
  { name: 'a pinned number', query: { block: 3, open: 'pattern', pin: 'blocks.3.attn.pattern:0,5,2' } },
  { name: 'a stop', query: { stop: 'scores', block: 3, open: 'scores' } },
  ...OUTSIDE.map((id) => ({ name: id, query: { open: id } })),
  ...INSIDE.map((id) => ({ name: id, query: { open: id, block: 3 } })),
];

async function shown(page: Page, query: Record<string, string | number>): Promise<void> {
  await visit(page, query);
  if (typeof query.open === 'string') await stage(page, query.open);
  if (query.panel === 'map') await expect(page.locator('[data-panel=map]')).toBeVisible();
  if (query.panel === 'help') await expect(page.getByRole('dialog')).toBeVisible();
  else await expect(page.getByRole('dialog')).toHaveCount(0);
  await settled(page);
}

for (const scheme of ['light', 'dark'] as const) {
  test(`axe finds nothing serious, ${scheme}`, async ({ page, site }) => {
    test.setTimeout(240_000);
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await open(page, site);
    for (const { name, query } of VIEWS) {
      await test.step(name, async () => {
        await shown(page, query);
        // what does not depend on colours was looked at in the light
        const axe = new AxeBuilder({ page });
        const { violations } = await (scheme === 'dark' ? axe.withRules(['color-contrast']) : axe).analyze();
        const serious = violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
        const said = serious.map((each) => `${each.id}: ${each.nodes.slice(0, 4).map((node) => `${node.target.join(' ')} ${node.failureSummary?.split('\n')[1] ?? ''}`).join(' | ')}`);
        expect.soft(said, name).toEqual([]);
      });
    }
  });
}

test('no view is wider than the window, from 360 px to 4K', async ({ page, site }) => {
  test.setTimeout(180_000);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  for (const [width, height] of [[360, 740], [768, 1024], [3840, 2160]] as const) {
    await page.setViewportSize({ width, height });
    await open(page, site);
    for (const { name, query } of VIEWS) {
      await shown(page, query);
      const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      expect.soft(needs, `${name} at ${width} px`).toBeLessThanOrEqual(has ?? 0);
    }
  }
});

test('labels are large enough to read', async ({ page, site }) => {
  await open(page, site);
  for (const { name, query } of VIEWS.filter((each) => each.name !== 'help')) {
    await shown(page, query);
    const small = await page.evaluate(() => {
      const found = new Set<string>();
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent?.trim() || !element?.checkVisibility() || element.closest('.unseen, .katex, sup, sub')) continue;
        const size = parseFloat(getComputedStyle(element).fontSize);
        if (size < 12) found.add(`${element.className}: ${element.textContent?.trim().slice(0, 20)} (${size} px)`);
      }
      return [...found].slice(0, 5);
    });
    expect.soft(small, name).toEqual([]);
  }
});

test('the keys: blocks, heads, up, help, and a walk inside a picture', async ({ page, site }) => {
  await open(page, site);
  const query = (name: string): string | null => new URL(page.url()).searchParams.get(name);
  await page.keyboard.press(']');
  await expect.poll(() => query('block')).toBe('0');
  await page.keyboard.press(']');
  await expect.poll(() => query('block')).toBe('1');
  await page.keyboard.press('[');
  await expect.poll(() => query('block')).toBe('0');
  await page.keyboard.press('.');
  await expect.poll(() => query('head')).toBe('1');
  await page.keyboard.press(',');
  await expect.poll(() => query('head')).toBe(null);
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'How to look around' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
  await expect.poll(() => query('block')).toBe('0');

  // letters belong to a field that has the focus
  await page.getByLabel('Your sentence').focus();
  await page.keyboard.press('End');
  await page.keyboard.press(']');
  await expect(page.getByLabel('Your sentence')).toHaveValue(/\]$/);
  expect(query('block')).toBe('0');
  await page.keyboard.press('Backspace');
  await drawn(page);
  await page.keyboard.press('Escape');
  await expect(page.getByLabel('Your sentence')).not.toBeFocused();

  // by Tab alone to a stage, into its picture, over its cells, and to where a number comes from
  const button = page.getByRole('button', { name: 'Pattern', exact: true });
  await button.focus();
  await page.keyboard.press('Enter');
  const pattern = await stage(page, 'pattern');
  await settled(page);
  const picture = pattern.locator('[aria-roledescription=matrix]').last();
  for (let i = 0; i < 60 && !(await picture.evaluate((element) => element === document.activeElement)); i++) await page.keyboard.press('Tab');
  await expect(picture).toBeFocused();
  await expect(picture).toHaveAttribute('data-index', /^0,\d+,\d+$/);
  await page.keyboard.press('PageUp');
  await page.keyboard.press('Home');
  await expect(picture).toHaveAttribute('data-index', '0,0,0');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  await expect(picture).toHaveAttribute('data-index', '0,2,1');
  await expect(picture.locator('[aria-live]')).toHaveText(/.+, .+: .+/);
  await page.keyboard.press('Enter');
  await expect.poll(() => query('pin')).toBe('blocks.0.attn.pattern:0,2,1');
  await expect(page.getByRole('complementary', { name: 'Where this number comes from' })).toBeVisible();
  for (const [gone, name] of [['pin', 'the pin'], ['open', 'the stage'], ['block', 'the block']] as const) {
    await page.keyboard.press('Escape');
    await expect.poll(() => query(gone), `Esc leaves ${name}`).toBe(null);
  }
});

test('hover shows, a click pins, sources light up, Back works, and the address says it all', async ({ page, context, site }) => {
  await open(page, site);
  await press(page.locator('.slats'), 5, 3);
  await expect(page).toHaveURL(/block=3/);
  await stage(page, 'pattern');
  await settled(page);
  const picture = page.locator('[data-stage=pattern] [aria-roledescription=matrix]').last();
  const cell = await press(picture, 7, 4, 'hover');
  await expect(page.locator('.pointed')).toBeVisible();
  await expect(picture).toHaveAttribute('data-index', cell.index.join(','));
  await press(picture, 7, 4);
  await expect(page).toHaveURL(new RegExp(`pin=blocks.3.attn.pattern:${cell.index.join(',')}`));
  const inspector = page.getByRole('complementary', { name: 'Where this number comes from' });
  await expect(inspector.locator('.value')).toHaveAttribute('data-index', cell.index.join(','));
  await page.getByRole('listbox', { name: 'Positions' }).first().getByRole('option').nth(6).click();
  await expect(page).toHaveURL(/pos=6/);
  await settled(page);
  const seen = { value: await inspector.locator('.value').innerText(), cells: (await pictures(page.locator('main'))).flatMap((each) => each.cells) };

  // sent to somebody else
  const other = await context.newPage();
  await other.goto(page.url());
  await stage(other, 'pattern');
  await settled(other);
  await expect(other.getByRole('complementary', { name: 'Where this number comes from' }).locator('.value')).toHaveText(seen.value, { timeout: SLOW });
  expect((await pictures(other.locator('main'))).flatMap((each) => each.cells)).toEqual(seen.cells);

  await page.goBack();
  await expect(page).not.toHaveURL(/pos=6/);
  await page.goBack();
  await expect(page).not.toHaveURL(/pin=/);
  await expect(inspector).toHaveCount(0);
  await page.goBack();
  await expect(page).not.toHaveURL(/block=/);
  await expect(page.locator('[data-stage]')).toHaveCount(0);
  await page.goForward();
  await stage(page, 'pattern');
});

test('with reduced motion nothing moves', async ({ page, site }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await open(page, site, { block: 3, open: 'scores' });
  await stage(page, 'scores');
  const moving = await page.evaluate(() => {
    const long = (list: string): boolean => list.split(',').some((each) => parseFloat(each) > 0.01);
    return [...document.querySelectorAll('*')]
      .filter((element) => { const style = getComputedStyle(element); return long(style.transitionDuration) || (style.animationName !== 'none' && long(style.animationDuration)); })
      .map((element) => `${element.tagName} ${element.getAttribute('class') ?? ''}`).slice(0, 5);
  });
  expect(moving).toEqual([]);
  expect(await page.evaluate(() => document.getAnimations().filter((each) => each.playState === 'running').length)).toBe(0);
});

test('nothing moves by itself for long', async ({ page, site }) => {
  await open(page, site);
  await settled(page);
  const endless = await page.evaluate(() => document.getAnimations().filter((each) => (each.effect?.getComputedTiming().iterations ?? 1) === Infinity && each.playState === 'running').length);
  expect(endless).toBe(0);
});

test('every picture has a name, and at rest there are few controls', async ({ page, site }) => {
  await open(page, site);
  for (const picture of await pictures(page.locator('main'))) expect(picture.name).not.toBe('');
  for (const image of await page.getByRole('img').all()) expect(await image.getAttribute('aria-label')).not.toBe('');
});
