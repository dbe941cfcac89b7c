// `plain`: a test with a server of its own, whose requests the watched one would hold to leave the machine
import { test as plain, type Locator, type Page } from '@playwright/test';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, startServer, test } from './server';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The stages of single vectors: what they show equals what the API says. */

interface Manifest { id: string; model: string; n_pos: number; tokens: { id: number; display: string }[] }
interface Explained { value: number; inputs: { name: string; values: number[] }[] }
interface Cell { index: number[]; value: number }

const TEXT = 'The robots will bring peace. The robots will bring';

async function traced(page: Page, site: string, text = TEXT): Promise<Manifest> {
  const models = await (await page.request.get(`${site}/api/models`)).json();
  return (await page.request.post(`${site}/api/traces`, { data: { model: models.default, text } })).json();
}

async function explained(page: Page, site: string, trace: Manifest, name: string, index: number[]): Promise<Explained> {
  return (await page.request.get(`${site}/api/traces/${trace.id}/explain?site=${name}&index=${index.join(',')}`)).json();
}

/** A cell of a picture on canvas, through its hook. */
function cell(picture: Locator, row: number, col: number): Promise<Cell> {
  return picture.evaluate((element, [r, c]) => {
    const hook = (element as unknown as { __cutaway: { cell(row: number, col: number): Cell } }).__cutaway;
    return hook.cell(r ?? 0, c ?? 0);
  }, [row, col]);
}

const errors: string[] = [];
test.beforeEach(({ page }) => {
  errors.length = 0;
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
});
test.afterEach(() => expect(errors).toEqual([]));

test('the norm: every stripe is the site that it names, and one feature is followed through', async ({ page, site }) => {
  const trace = await traced(page, site);
  const last = trace.n_pos - 1;
  await page.goto(`${site}/?block=3&open=norm&pin=blocks.3.ln1.out:${last},5`);
  const stage = page.locator('[data-stage=norm]');
  for (const name of ['blocks.3.resid_pre', 'blocks.3.ln1.normalized', 'blocks.3.ln1.out']) {
    const shown = await cell(stage.locator(`.matrix[data-site="${name}"]`), 0, 7);
    const said = await explained(page, site, trace, name, shown.index);
    expect(shown.index).toEqual([last, 7]);
    expect(Math.fround(said.value)).toBe(Math.fround(shown.value));
  }
  const followed = stage.getByRole('group', { name: 'Dimension 5' });
  await expect(followed.locator('[data-site="blocks.3.ln1.scale"]')).toHaveAttribute('data-index', `${last},0`);
  await expect(followed.locator('[data-site="blocks.3.ln1.w"]')).toHaveAttribute('data-index', '5');
  await followed.locator('[data-site="blocks.3.ln1.normalized"]').click();
  await expect(page).toHaveURL(new RegExp(`pin=blocks.3.ln1.normalized:${last},5`));
});

test('the MLP: the strongest neurons are the strongest, and a dimension’s sum closes', async ({ page, site }) => {
  const trace = await traced(page, site);
  const last = trace.n_pos - 1;
  await page.goto(`${site}/?block=4&open=mlp&pin=blocks.4.mlp_out:${last},11`);
  const stage = page.locator('[data-stage=mlp]');
  await expect(stage.getByText('Dimension 11 of what is added')).toBeVisible();
  const said = await explained(page, site, trace, 'blocks.4.mlp_out', [last, 11]);
  const post = said.inputs[0]?.values ?? [];
  const order = post.map((_, i) => i).sort((a, b) => Math.abs(post[b] ?? 0) - Math.abs(post[a] ?? 0));
  const rows = stage.locator('.matrix[data-site="blocks.4.mlp.W_out"]');
  await expect(rows).toHaveCount(8);
  for (let i = 0; i < 8; i++) expect((await cell(rows.nth(i), 0, 0)).index[0]).toBe(order[i]);

  const number = (text: string): number => Number(text.replace('−', '-').replace(/,/g, ''));
  const sum = stage.locator('.sum');
  const terms = (await sum.locator('li .num').allTextContents()).map(number);
  const total = number(await sum.locator('.total .num').innerText());
  expect(terms.reduce((all, term) => all + term, 0)).toBeCloseTo(total, 6);
  expect(total).toBeCloseTo(said.value, 1);
});

test('the embedding: equal pieces start equal, and the nearest rows are the model’s', async ({ page, site }) => {
  const trace = await traced(page, site);
  await page.goto(`${site}/?open=embedding&pos=1`);
  const stage = page.locator('[data-stage=embedding]');
  await expect(stage).toContainText('stands at 1 and at 7');
  const pair = stage.locator('.matrix[data-site=embed][aria-label^="start"]');
  await expect(pair).toHaveCount(2);
  for (const col of [0, 100, 575]) expect((await cell(pair.nth(0), 0, col)).value).toBe((await cell(pair.nth(1), 0, col)).value);
  const ends = stage.locator('.matrix[aria-label^="end"]');
  expect((await cell(ends.nth(0), 0, 3)).value).not.toBe((await cell(ends.nth(1), 0, 3)).value);

  const near = await (
    await page.request.get(`${site}/api/models/${trace.model}/neighbours?plus=${trace.tokens[1]?.id}&k=8`)
  ).json();
  const shown = stage.getByRole('list', { name: /^Rows nearest to ·/ }).getByRole('button');
  await expect(shown).toHaveCount(8);
  await expect(shown.first()).toContainText(near.neighbours[0].token.display);

  await stage.getByLabel('the word to add').fill('antidisestablishmentarianism');
  await expect(stage.getByText(/“antidisestablishmentarianism” is \d+ pieces here/)).toBeVisible();
});

test('the pieces: ids as the API’s, merges can be stepped, and a bar leads to its logit', async ({ page, site }) => {
  const text = 'She empowers the café';
  const trace = await traced(page, site, text);
  const surprise = await (await page.request.get(`${site}/api/traces/${trace.id}/surprise`)).json();
  await page.goto(`${site}/?open=pieces&pos=1&text=${encodeURIComponent(text)}`);
  const stage = page.locator('[data-stage=pieces]');
  await expect(stage.locator('.line .id')).toHaveText(trace.tokens.map((token) => String(token.id)));
  await expect(stage.locator('[data-site=surprise]')).toHaveCount(surprise.losses.filter((loss: number | null) => loss !== null).length);

  const merges = stage.getByRole('group', { name: 'Merges, step by step' });
  const rows = stage.locator('ol li');
  await expect(rows).not.toHaveCount(0);
  const all = await rows.count();
  await merges.getByRole('button', { name: 'One merge back' }).click();
  await expect(rows).toHaveCount(all - 1);
  await merges.getByRole('slider').fill('0');
  await expect(rows).toHaveCount(1);
  await expect(merges.getByRole('button', { name: 'One merge back' })).toBeDisabled();

  await stage.locator('[data-site=surprise][data-index="2"]').click();
  await expect(page).toHaveURL(new RegExp(`pin=logits:1,${trace.tokens[2]?.id}`));
});

plain.describe('a model with learned positions', () => {
  let server: Awaited<ReturnType<typeof startServer>>;
  let folder: string;

  plain.beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cutaway-'));
    const write = `from pathlib import Path; from tests.support.spelling import write_tiny_speller as w; w(Path(${JSON.stringify(join(folder, 'tiny'))}), "gpt2")`;
    const made = spawnSync(existsSync(`${root}.venv/bin/python`) ? `${root}.venv/bin/python` : 'python', ['-c', write], { cwd: root });
    if (made.status !== 0) throw new Error(made.stderr.toString());
    server = await startServer(join(folder, 'tiny'));
  });

  plain.afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  plain('adds them, and its norm and MLP have what it declares', async ({ page }) => {
    const trace = await traced(page, server.url, 'Hello');
    await page.goto(`${server.url}/?open=position&text=Hello&pos=2`);
    const stage = page.locator('[data-stage=position]');
    const stripe = (name: string): Locator => stage.locator(`.group .matrix[data-site="${name}"]`);
    for (let col = 0; col < 4; col++) {
      const [token, place, sum] = await Promise.all(['embed', 'pos_embed', 'blocks.0.resid_pre'].map((name) => cell(stripe(name), 0, col)));
      const said = await explained(page, server.url, trace, 'blocks.0.resid_pre', [2, col]);
      expect(said.inputs.map((input) => Math.fround(input.values[0] ?? NaN))).toEqual([token, place].map((each) => each?.value));
      expect(sum?.value).toBe(Math.fround((token?.value ?? NaN) + (place?.value ?? NaN)));
    }

    await page.goto(`${server.url}/?block=1&open=norm&text=Hello`);
    const norm = page.locator('[data-stage=norm]');
    await expect(norm.locator('.matrix[data-site="blocks.1.ln1.b"]')).toBeVisible();
    await expect(norm).toContainText('which is taken away');

    await page.goto(`${server.url}/?block=1&open=mlp&text=Hello`);
    const mlp = page.locator('[data-stage=mlp]');
    await expect(mlp.locator('circle[data-site="blocks.1.mlp.post"]')).toHaveCount(48);
    await expect(mlp.locator('[data-site$="pre_linear"]')).toHaveCount(0);
    await expect(mlp.getByText('sum of all 48 and the bias')).toBeVisible();
  });
});
