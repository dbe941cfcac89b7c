/** Take away, on every model: pictures as SVG and PNG, tables as CSV, the trace as a file, a link; undo and redo. */
import AxeBuilder from '@axe-core/playwright';
import { readFileSync } from 'node:fs';
import type { Download, Locator, Page } from '@playwright/test';
import { readSafetensors } from '../src/protocol/safetensors';
import { shareScale, type Palette } from '../src/charts/scales';
import { drawn, open, settled, SLOW, stage, Truth, visit } from './look';
import { expect, test } from './server';

const TEXT = 'The robots bring peace. The robots';
const PATTERN = { text: TEXT, block: 1, head: 0, open: 'pattern' };
const [GROUND, SHARE] = ['rgb(251, 250, 247)', 'rgb(75, 42, 134)'];

async function menu(scope: Locator): Promise<Locator> {
  const button = scope.getByRole('button', { name: /^Download / }).first();
  if ((await button.getAttribute('aria-expanded')) !== 'true') await button.click();
  const list = scope.getByRole('group', { name: /^Download / });
  await expect(list).toBeVisible();
  return list;
}

async function take(page: Page, scope: Locator, what: string): Promise<{ file: Download; bytes: Buffer }> {
  const list = await menu(scope);
  const [file] = await Promise.all([page.waitForEvent('download'), list.getByRole('button', { name: what, exact: true }).click()]);
  await expect(list).toHaveCount(0);
  return { file, bytes: readFileSync(await file.path()) };
}

/** What the SVG holds, as a browser reads it. */
async function read(page: Page, svg: string): Promise<{ width: number; height: number; texts: string[]; rects: { x: number; y: number; width: number; height: number; fill: string }[]; images: number; error: boolean }> {
  return page.evaluate((source) => {
    const root = new DOMParser().parseFromString(source, 'image/svg+xml');
    const number = (element: Element, name: string): number => Number(element.getAttribute(name));
    const inner = [...root.querySelectorAll('g > rect')].map((element) => ({ x: number(element, 'x'), y: number(element, 'y'), width: number(element, 'width'), height: number(element, 'height'), fill: element.getAttribute('fill') ?? '' }));
    return {
      width: number(root.documentElement, 'width'), height: number(root.documentElement, 'height'), texts: [...root.querySelectorAll('text')].map((each) => each.textContent ?? ''),
      rects: inner, images: root.querySelectorAll('image').length, error: root.querySelector('parsererror') !== null,
    };
  }, svg);
}

test('a pattern as SVG: a real rectangle for each cell in the colour of its number, with labels and legend', async ({ page, site, api }) => {
  await page.emulateMedia({ reducedMotion: 'reduce', colorScheme: 'light' });
  await open(page, site, PATTERN);
  const figure = (await stage(page, 'pattern')).locator('figure').first();
  await settled(page);
  const { file, bytes } = await take(page, figure, 'SVG');
  expect(file.suggestedFilename()).toMatch(/^cutaway-.*\.svg$/);
  const svg = bytes.toString('utf-8');
  const found = await read(page, svg);
  expect(found.error).toBe(false);
  expect(found.images).toBe(0);
  const truth = await Truth.of(api, TEXT);
  const n = truth.trace.n_pos;
  const { data } = await api.values(truth.trace, 'blocks.1.attn.pattern', { head: 0 });
  const scale = shareScale({ ground: GROUND, share: SHARE } as Palette);
  const hex = (value: number): string => `#${scale.rgb(value).map((each) => each.toString(16).padStart(2, '0')).join('')}`;
  for (let query = 0; query < n; query++) {
    for (let key = 0; key <= query; key++) {
      const fill = hex(data[query * n + key] ?? NaN);
      expect(found.rects.some((rect) => rect.fill === fill), `${query}, ${key}: ${fill}`).toBe(true);
    }
  }
  // below the diagonal a cell each, beside those of the legend and the marks
  const { width } = found.rects[0] ?? { width: 0 };
  expect(found.rects.filter((rect) => Math.abs(rect.width - width) < 0.01 && rect.height > 4).length).toBe((n * (n + 1)) / 2);
  for (const token of truth.trace.tokens) expect(found.texts).toContain(token.display);
  expect(found.texts.join(' ')).toMatch(/block 1, head 0/);
  expect(found.texts).toContain('100%');
  expect(found.texts.join(' ')).not.toMatch(/download|as table/);
  for (const rect of found.rects) expect(rect.x + rect.width).toBeLessThan(found.width);
  expect(svg).toContain(`“${TEXT}”`);
});

test('as PNG, twice as sharp, and not blank', async ({ page, site }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await open(page, site, PATTERN);
  const figure = (await stage(page, 'pattern')).locator('figure').first();
  await settled(page);
  const svg = await take(page, figure, 'SVG');
  const size = await read(page, svg.bytes.toString('utf-8'));
  const { bytes } = await take(page, figure, 'PNG');
  expect(bytes.subarray(1, 4).toString()).toBe('PNG');
  expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([2 * size.width, 2 * size.height]);
  const colours = await page.evaluate(async (source) => {
    const raw = Uint8Array.from(atob(source), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([raw], { type: 'image/png' }));
    const ctx = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    ctx?.drawImage(bitmap, 0, 0);
    const { data } = ctx?.getImageData(0, 0, bitmap.width, bitmap.height) ?? { data: [] };
    const seen = new Set<number>();
    for (let i = 0; i < data.length; i += 4) seen.add(((data[i] ?? 0) << 16) | ((data[i + 1] ?? 0) << 8) | (data[i + 2] ?? 0));
    return [...seen];
  }, bytes.toString('base64'));
  expect(colours.length).toBeGreaterThan(30);
  // the first piece attends to itself alone: the scale's full colour
  expect(colours).toContain((75 << 16) | (42 << 8) | 134);
});

test('a table as CSV has every digit', async ({ page, site, api }) => {
  await open(page, site, PATTERN);
  const figure = (await stage(page, 'pattern')).locator('figure').first();
  await settled(page);
  const { bytes } = await take(page, figure, 'CSV');
  const truth = await Truth.of(api, TEXT);
  const n = truth.trace.n_pos;
  const { data } = await api.values(truth.trace, 'blocks.1.attn.pattern', { head: 0 });
  const lines = bytes.toString('utf-8').trimEnd().split('\r\n');
  expect(lines).toHaveLength(n + 1);
  const cells = lines.slice(1).map((line) => line.split(',').slice(-n).map((cell) => Math.fround(Number(cell))));
  expect(cells.flat()).toEqual([...data].map((value) => Math.fround(value)));

  // and where a table stands by itself
  await visit(page, { text: TEXT });
  await page.getByRole('button', { name: 'as table' }).first().click();
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /^Attention adds.*as CSV$/ }).click()]);
  expect(readFileSync(await file.path(), 'utf-8').trimEnd().split('\r\n')).toHaveLength(n + 1);
});

test('the whole: its picture, and the trace as safetensors that holds the stream', async ({ page, site, api }) => {
  await open(page, site, { text: TEXT });
  await settled(page);
  const whole = page.getByRole('region', { name: 'The whole model' });
  const svg = await read(page, (await take(page, whole, 'SVG')).bytes.toString('utf-8'));
  expect([svg.error, svg.images]).toEqual([false, 0]);
  expect(svg.texts).toContain('pieces');
  expect(svg.rects.length).toBeGreaterThan(100);
  const { file, bytes } = await take(page, whole, 'trace as safetensors');
  expect(file.suggestedFilename()).toMatch(/-\d+-tokens\.safetensors$/);
  const frame = readSafetensors(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer);
  const { trace } = await Truth.of(api, TEXT);
  const last = 'blocks.1.resid_pre';
  const { data } = await api.values(trace, last);
  const held = [...frame.tensors].filter(([, tensor]) => tensor.data.length >= data.length && tensor.dtype === 'F32');
  const inside = held.some(([, tensor]) => {
    for (let from = 0; from + data.length <= tensor.data.length; from += data.length) if (data.every((value, i) => tensor.data[from + i] === value)) return true;
    return false;
  });
  expect(inside, `${last} among ${[...frame.tensors.keys()].join(', ')}`).toBe(true);
});

test('a frame of the film as SVG', async ({ page, site }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await open(page, site, { text: TEXT, panel: 'play', open: 'play', t: 20 });
  const pane = page.locator('[data-pane=play]');
  await expect(pane.locator('.film')).toBeVisible({ timeout: SLOW });
  await settled(page);
  const found = await read(page, (await take(page, pane, 'SVG')).bytes.toString('utf-8'));
  expect([found.error, found.images]).toEqual([false, 0]);
  expect(found.rects.length).toBeGreaterThan(100);
  expect(found.texts.some((text) => text.includes('stream') || text === 'x')).toBe(true);
});

test('a link, by keys alone; Esc closes the menu and nothing else; axe', async ({ page, context, site }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await open(page, site, PATTERN);
  const pane = await stage(page, 'pattern');
  await settled(page);
  const button = pane.getByRole('button', { name: /^Download / }).first();
  await button.focus();
  await page.keyboard.press('Enter');
  const list = pane.getByRole('group', { name: /^Download / });
  await expect(list.getByRole('button').first()).toBeFocused();
  const { violations } = await new AxeBuilder({ page }).include('[data-stage=pattern]').analyze();
  expect(violations.filter((each) => each.impact === 'serious' || each.impact === 'critical').map((each) => each.id)).toEqual([]);
  await page.keyboard.press('Escape');
  await expect(list).toHaveCount(0);
  await expect(button).toBeFocused();
  await expect(pane).toBeVisible();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowUp');
  await expect(list.getByRole('button', { name: 'copy link' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(list).toHaveCount(0);
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());
});

test('undo and redo: what was written, opened and chosen', async ({ page, site }) => {
  await open(page, site, { text: TEXT });
  const field = page.getByLabel('Your sentence');
  const query = (name: string): string | null => new URL(page.url()).searchParams.get(name);
  await page.waitForTimeout(900);
  await field.fill('The robots bring');
  await expect.poll(() => query('text')).toBe('The robots bring');
  await page.waitForTimeout(900);
  await field.fill('The robots bring war');
  await drawn(page);
  await field.blur();
  await page.keyboard.press(']');
  await expect.poll(() => query('block')).toBe('0');
  await page.keyboard.press('Control+z');
  await expect.poll(() => query('block')).toBeNull();
  await expect(field).toHaveValue('The robots bring war');
  // in the field, too
  await field.focus();
  await page.keyboard.press('Control+z');
  await expect(field).toHaveValue('The robots bring');
  await drawn(page);
  await page.keyboard.press('Control+z');
  await expect(field).toHaveValue(TEXT);
  await settled(page);
  await expect(page.getByRole('listbox', { name: 'Positions' }).first().getByRole('option')).not.toHaveCount(3);
  await page.keyboard.press('Control+z');
  await expect(field).toHaveValue(TEXT);
  await page.keyboard.press('Control+Shift+z');
  await page.keyboard.press('Control+Shift+z');
  await expect(field).toHaveValue('The robots bring war');
  await page.keyboard.press('Control+Shift+z');
  await expect.poll(() => query('block')).toBe('0');

  // a change of the run, and back to the run unchanged
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await visit(page, { text: TEXT });
  await visit(page, { text: TEXT, changes: 'zero@blocks.0.attn_out' });
  await settled(page);
  await page.keyboard.press('Control+z');
  await expect.poll(() => query('changes')).toBeNull();
  await settled(page);
  await page.keyboard.press('Control+Shift+z');
  await expect.poll(() => query('changes')).toBe('zero@blocks.0.attn_out');
});
