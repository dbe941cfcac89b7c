/** On every model: what is drawn is what the API says, and what the engine itself computes; nothing is drawn that the
 * model does not have. */
import type { Locator } from '@playwright/test';
import { percent } from '../src/charts/format';
import { signedScale, type Palette } from '../src/charts/scales';
import { readSafetensors } from '../src/protocol/safetensors';
import type { SiteRange } from '../src/protocol/types';
import { open, pictures, press, says, settled, stage, Truth, visit, written, type Cell } from './look';
import { expect, test, type Machine } from './server';

const TEXT = 'The robots bring peace. The robots';
const [BLOCK, HEAD] = [1, 2];

/** What the architecture has; the rest of the page follows the sites that the server declares. */
const OUTSIDE = ['pieces', 'embedding', 'norm_final', 'logits', 'draw', 'did'];
const INSIDE = ['norm', 'qkv', 'scores', 'pattern', 'mix', 'norm2', 'mlp'];
const HAS: Record<Machine, { outside: string[]; inside: string[]; strips: string[]; not: string[] }> = {
  default: { outside: OUTSIDE, inside: [...INSIDE, 'rope'], strips: ['attn.rot_q', 'attn.rot_k'], not: ['position'] },
  'tiny-llama': { outside: OUTSIDE, inside: [...INSIDE, 'rope'], strips: ['attn.rot_q', 'attn.rot_k'], not: ['position'] },
  'tiny-gpt2': { outside: [...OUTSIDE, 'position'], inside: INSIDE, strips: [], not: ['rope'] },
};

/** Each picture's cells are the numbers of the site or weight that it names. Gives them, and the names it left. */
async function compare(scope: Locator, truth: Truth): Promise<{ cells: Cell[]; unknown: string[] }> {
  await settled(scope.page());
  const cells: Cell[] = [];
  const unknown: string[] = [];
  for (const picture of await pictures(scope)) {
    expect(picture.site, `${picture.name}: a picture says which site it draws`).not.toBe('');
    if (!truth.isSite(picture.site) && !truth.isWeight(picture.site)) {
      unknown.push(picture.site);
      continue;
    }
    for (const cell of picture.cells) {
      const real = await truth.value(cell.site, cell.index);
      expect(Object.is(Math.fround(cell.value), Math.fround(real)) || cell.value === real,
        `${picture.name}: ${cell.site} at ${cell.index.join()} is ${real}, drawn ${cell.value}`).toBe(true);
      if (truth.isSite(cell.site)) cells.push(cell);
    }
  }
  for (const { site, index, text } of await written(scope)) {
    if (!truth.isSite(site) && !truth.isWeight(site)) {
      unknown.push(site);
      continue;
    }
    const real = await truth.value(site, index);
    // a bar of a product names the factor that can be followed, and has it in its label
    expect(says(text, real), `${site} at ${index.join()} is ${real}; written: ${text}`).toBe(true);
  }
  return { cells, unknown };
}

test('the whole is the model’s own numbers', async ({ page, site, api, engine, machine }) => {
  const truth = await Truth.of(api, TEXT);
  const { trace } = truth;
  await open(page, site, { text: TEXT });
  const whole = page.getByRole('region', { name: 'The whole model' });
  await expect(whole.getByRole('option')).toHaveText(trace.tokens.map((token) => token.display));
  const { cells, unknown } = await compare(whole, truth);
  expect(cells.length).toBeGreaterThan(10);
  expect(unknown).toEqual(['next']);
  expect((await engine(TEXT, cells)).map(Math.fround)).toEqual(cells.map((cell) => Math.fround(cell.value)));

  // one slat for each block, and its stems are the lengths of what was added
  const slats = await whole.locator('.slats').evaluate((element) => {
    const hook = (element as unknown as { __cutaway: { rows: number; cols: number; cell(row: number, col: number): Cell } }).__cutaway;
    return { rows: hook.rows, cols: hook.cols, first: hook.cell(1, 0), last: hook.cell(hook.rows - 1, hook.cols - 1) };
  });
  expect(slats).toMatchObject({ rows: trace.n_pos, cols: truth.model.config.n_layer });
  for (const { index, value } of [slats.first, slats.last]) {
    const [block = 0, pos = 0] = index;
    const length = async (name: string): Promise<number> => Math.hypot(...(await api.values(trace, `blocks.${block}.${name}`, { pos })).data);
    expect(value).toBeCloseTo((await length('attn_out')) / (await length('resid_pre')), 4);
  }

  // the chance that was given to each next piece
  const losses = (await api.surprise(trace)).losses;
  const [next] = (await pictures(whole)).filter((picture) => picture.site === 'next');
  for (const { index, value } of next?.cells ?? []) {
    const loss = losses[(index[0] ?? 0) + 1];
    if (loss === null || loss === undefined) expect(value).toBeNaN();
    else expect(value).toBeCloseTo(Math.exp(-loss), 6);
  }

  // the answer
  const { candidates } = await api.next(trace);
  const bars = page.getByRole('list', { name: 'Candidates' }).getByRole('button');
  for (const [i, candidate] of candidates.slice(0, 8).entries()) {
    await expect(bars.nth(i)).toHaveAttribute('data-index', `${trace.n_pos - 1},${candidate.token.id}`);
    await expect(bars.nth(i)).toContainText(percent(candidate.probability));
  }
  for (const name of HAS[machine].not) await expect(page.getByRole('button', { name, exact: true })).toHaveCount(0);
});

test('a block that is opened from the whole shows its head that looks back most strongly', async ({ page, site, api }) => {
  const trace = await api.trace(TEXT);
  await open(page, site, { text: TEXT });
  await settled(page);
  const [block, row] = [1, trace.n_pos - 1];
  const { data } = await api.values(trace, `blocks.${block}.attn.pattern`, { q_pos: row });
  const back = Array.from({ length: data.length / trace.n_pos }, (_, head) => Math.max(...data.slice(head * trace.n_pos + 1, head * trace.n_pos + row)));
  await press(page.locator('.slats'), row, block);
  await expect(page).toHaveURL(/block=1/);
  expect(Number(new URL(page.url()).searchParams.get('head') ?? 0)).toBe(back.indexOf(Math.max(...back)));
});

test('an open block has the model’s steps and no others', async ({ page, site, api, machine, engine }) => {
  const truth = await Truth.of(api, TEXT);
  await open(page, site, { text: TEXT, block: BLOCK, head: HEAD });
  const block = page.getByRole('group', { name: `Block ${BLOCK}, opened` });
  const { cells } = await compare(block, truth);
  expect((await engine(TEXT, cells)).map(Math.fround)).toEqual(cells.map((cell) => Math.fround(cell.value)));
  const drawn = [...new Set((await pictures(block)).map((picture) => picture.site.replace(/^blocks\.\d+\./, '')))];
  const strips = ['ln1.out', 'attn.q', 'attn.k', 'attn.v', ...HAS[machine].strips, 'attn.attn_scores', 'attn.pattern', 'attn.z', 'attn_out', 'ln2.out', 'mlp.post', 'mlp_out'];
  expect(drawn).toEqual(strips);
  // keys and values of the head's own group
  const { n_head, n_kv_head } = truth.model.config;
  const keys = (await pictures(block)).find((picture) => picture.site.endsWith('attn.k'));
  expect(keys?.cells[0]?.index[1]).toBe(Math.floor((HEAD * n_kv_head) / n_head));
  // whoever is not open stays visible
  await expect(page.locator('.slats')).toHaveCount(2);
});

for (const place of ['outside', 'inside'] as const) {
  test(`unfolded, ${place} the blocks: every number is the model’s`, async ({ page, site, api, machine, engine }) => {
    const here = HAS[machine];
    const truth = await Truth.of(api, TEXT);
    const where: Record<string, number> = place === 'inside' ? { block: BLOCK, head: HEAD } : {};
    await open(page, site, { text: TEXT });
    for (const id of here[place]) {
      await test.step(id, async () => {
        await visit(page, { text: TEXT, open: id, ...where });
        const unfolded = await stage(page, id);
        await expect.poll(() => unfolded.locator('[data-site]').count(), 'numbers that say where they stand').toBeGreaterThan(3);
        const { cells, unknown } = await compare(unfolded, truth);
        // names that are no sites are figures of analysis, each compared where it is read
        for (const name of unknown) expect(name).toMatch(/^(next|surprise|lens|attribution|neighbours)(\.|$)/);
        expect((await engine(TEXT, cells)).map(Math.fround)).toEqual(cells.map((cell) => Math.fround(cell.value)));

        // every picture can be read as a table, and has a name
        for (const picture of await pictures(unfolded)) expect(picture.name).not.toBe('');
        await unfolded.getByRole('button', { name: 'as table' }).first().click();
        await expect(unfolded.getByRole('region', { name: /as a table$/ }).getByRole('table')).toBeVisible();
      });
    }
    for (const id of here.not) {
      await visit(page, { text: TEXT, open: id, block: BLOCK });
      await expect(page.locator('[data-stage]')).toHaveCount(0);
    }
  });
}

test('grouped queries are bracketed over the keys that they share', async ({ page, site, api }) => {
  const { config } = await api.model();
  await open(page, site, { text: TEXT, block: BLOCK, open: 'pattern' });
  const picker = (await stage(page, 'pattern')).getByRole('radiogroup', { name: 'Head' });
  await expect(picker.getByRole('radio')).toHaveCount(config.n_head);
  await expect(picker.locator('.group')).toHaveCount(config.n_kv_head);
  await expect(picker.locator('.group.shared')).toHaveCount(config.n_head > config.n_kv_head ? config.n_kv_head : 0);
});

test('a stripe has the colours of its values', async ({ page, site, api }) => {
  const { trace } = await Truth.of(api, TEXT);
  await open(page, site, { text: TEXT });
  await settled(page);
  const answer = await fetch(`${site}/api/traces/${trace.id}/sites?names=embed&reduce=absmax&bins=64`);
  const ranges = JSON.parse(readSafetensors(await answer.arrayBuffer()).metadata['ranges'] ?? '{}') as Record<string, SiteRange>;
  const colours = await page.evaluate(() => {
    const probe = document.body.appendChild(document.createElement('span'));
    const of = (name: string): string => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    return { ground: of('ground'), negative: of('negative'), positive: of('positive') };
  });
  const scale = signedScale(colours as Palette, ranges.embed?.c ?? NaN);
  const seen = await page.getByRole('region', { name: 'The whole model' }).locator('[data-site=embed]').first().evaluate((element) => {
    const hook = (element as unknown as { __cutaway: { rows: number; cols: number; cell(row: number, col: number): Cell & { x: number; y: number } } }).__cutaway;
    const canvas = element.querySelector('canvas');
    const [context, ratio] = [canvas?.getContext('2d'), (canvas?.width ?? 0) / (canvas?.clientWidth ?? 1)];
    const places = Array.from({ length: hook.rows * hook.cols }, (_, i) => hook.cell(Math.floor(i / hook.cols), i % hook.cols));
    return places.map(({ x, y, value }) => ({ value, rgb: [...(context?.getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data ?? [])] }));
  });
  expect(seen.length).toBeGreaterThan(50);
  for (const { value, rgb } of seen) {
    expect(rgb[3], `${value} is painted`).toBe(255);
    scale.rgb(value).forEach((wanted, i) => expect(Math.abs(wanted - (rgb[i] ?? 0)), `${value} is ${rgb.join()}, not ${scale.css(value)}`).toBeLessThanOrEqual(3));
  }
});
