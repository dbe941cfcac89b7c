/** From any number of the distribution back to the pieces, by pins alone. */
import type { Locator, Page } from '@playwright/test';
import { exact } from '../src/charts/format';
import { number, open, press, Truth, type Cell } from './look';
import { expect, test } from './server';

const TEXT = 'The robots bring peace. The robots';

interface Choice {
  input: Locator;
  site: string;
  cells: number;
  largest: number;
}

/** The inputs of the pinned number that are sites (`from`), not weights or constants, each with its largest cell. */
async function choices(page: Page, sites: ReadonlySet<string>): Promise<Choice[]> {
  const inputs = page.getByRole('complementary', { name: 'Where this number comes from' }).locator('.input');
  const found: Choice[] = [];
  for (const input of await inputs.all()) {
    if (!sites.has((await input.locator('[data-site]').first().getAttribute('data-site')) ?? '')) continue;
    const picture = input.locator('[aria-roledescription=matrix]');
    if ((await picture.count()) === 0) {
      const one = input.getByRole('button');
      if (await one.isEnabled()) found.push({ input: one, site: (await one.getAttribute('data-site')) ?? '', cells: 1, largest: 0 });
      continue;
    }
    const { site, cols, largest } = await picture.evaluate((element) => {
      const hook = (element as unknown as { __cutaway: { site: string; cols: number; cell(row: number, col: number): Cell } }).__cutaway;
      const sizes = Array.from({ length: hook.cols }, (_, i) => Math.abs(hook.cell(0, i).value));
      return { site: hook.site, cols: hook.cols, largest: sizes.indexOf(Math.max(...sizes.filter(Number.isFinite))) };
    });
    found.push({ input: picture, site, cells: cols, largest });
  }
  return found;
}

/** Follows inputs until a weight is reached; `choose` picks among them. Gives the sites that were passed. */
async function walk(page: Page, truth: Truth, choose: (from: Choice[], step: number) => Choice | undefined): Promise<string[]> {
  const inspector = page.getByRole('complementary', { name: 'Where this number comes from' });
  const passed: string[] = [];
  // each step leads to a site before; a block has fewer than forty
  const most = 40 * truth.model.config.n_layer + 20;
  for (let step = 0; step < most; step++) {
    const pin = new URL(page.url()).searchParams.get('pin')?.split('~').at(-1) ?? '';
    const [site = '', index = ''] = pin.split(':');
    const value = inspector.locator('.value');
    await expect(value).toHaveAttribute('data-site', site);
    await expect(value).toHaveAttribute('data-index', index);
    passed.push(site);
    const at = index.split(',').map(Number);
    const real = await truth.value(site, at);
    if (truth.isWeight(site)) {
      await expect(value).toHaveText(exact(real));
      return passed;
    }
    // one product alone may be summed in another order than a whole matrix of them: the last digit of float32
    expect(Math.abs(number(await value.innerText()) - real)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(real)));
    const answer = await truth.api.explain(truth.trace, site, at);
    // only the table is left when a number is a row of it
    const from = await choices(page, new Set(answer.inputs.filter((input) => input.kind === 'site').map((input) => input.name)));
    const next = choose(from, step);
    const before = page.url();
    if (!next) await inspector.locator('.input').first().getByRole('button').click();
    else if (next.cells === 1) await next.input.click();
    else await press(next.input, 0, next.largest);
    await expect(page).not.toHaveURL(before);
  }
  throw new Error(`after ${most} steps still not at the pieces: ${passed.slice(-5).join(' ← ')}`);
}

async function ends(page: Page, truth: Truth, passed: string[]): Promise<void> {
  expect(passed[0]).toBe('logits');
  expect(passed.at(-1)).toBe('W_E');
  const inspector = page.getByRole('complementary', { name: 'Where this number comes from' });
  const row = Number(new URL(page.url()).searchParams.get('pin')?.split('~').at(-1)?.split(':')[1]?.split(',')[0]);
  const token = truth.trace.tokens.find((each) => each.id === row);
  expect(token, `row ${row} is one of the sentence’s pieces`).toBeDefined();
  await expect(inspector).toContainText(`It stands in the row of ${token?.display}`);
}

// learned positions are a table too, but not that of the pieces
const towardsPieces = (from: Choice[]): Choice[] => from.filter((each) => each.site !== 'pos_embed');

test('a candidate leads to its pieces along the stream', async ({ page, site, api }) => {
  test.setTimeout(180_000);
  const truth = await Truth.of(api, TEXT);
  await open(page, site, { text: TEXT });
  await page.getByRole('list', { name: 'Candidates' }).getByRole('button').first().click();
  const passed = await walk(page, truth, (from) => towardsPieces(from)[0]);
  await ends(page, truth, passed);
  // breadcrumbs lead back to where it began
  await page.getByRole('navigation', { name: 'Steps back' }).getByRole('button').first().click();
  await expect(page).toHaveURL(/pin=logits:\d+,\d+$/);
});

test('and through attention and MLP, whichever input is taken', async ({ page, site, api, machine }) => {
  test.skip(machine === 'default', 'thirty blocks take many steps; three blocks have the same ones');
  const truth = await Truth.of(api, TEXT);
  await open(page, site, { text: TEXT });
  const seen = new Set<string>();
  for (const turn of [1, 2, 3]) {
    await page.getByRole('list', { name: 'Candidates' }).getByRole('button').nth(turn).click();
    const passed = await walk(page, truth, (from, step) => {
      const open = towardsPieces(from);
      return open[(step + turn) % Math.max(1, open.length)];
    });
    await ends(page, truth, passed);
    passed.forEach((each) => seen.add(each.replace(/^blocks\.\d+\./, '')));
  }
  for (const each of ['attn.pattern', 'attn.q', 'mlp.post']) expect([...seen]).toContain(each);
});
