/** Changing a run, on every model: what the page shows before and after is what the engine computes; each change can be taken
 * back, is in the address, and is the Python that the server writes. */
import AxeBuilder from '@axe-core/playwright';
import type { Locator, Page } from '@playwright/test';
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { percent, short } from '../src/charts/format';
import { parseAddress } from '../src/state/address';
import type { Change } from '../src/state/changes';
import { open, press, settled, SLOW, visit } from './look';
import { expect, python, root, test } from './server';

const TEXT = 'The robots bring peace. The robots';
const OTHER = 'The robots bring war. The robots';

interface Changed { chances: number[]; lens: number[][]; logits: number[] }
type Ask = <T = Changed>(question: object) => Promise<T>;

/** The engine, asked as the page's address asks the server. */
const it = test.extend<object, { engineChanged: Ask }>({
  engineChanged: [
    async ({ model }, use) => {
      const child = spawn(python, ['web/e2e/changed.py', ...(model ? [model] : [])], { cwd: root, stdio: ['pipe', 'pipe', 'pipe'] });
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => (said += chunk));
      const waiting: { resolve: (answer: never) => void; reject: (error: Error) => void }[] = [];
      createInterface(child.stdout).on('line', (line) => waiting.shift()?.resolve(JSON.parse(line) as never));
      child.once('exit', () => waiting.forEach(({ reject }) => reject(new Error(`the engine ended: ${said}`))));
      await use((question) => new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(question)}\n`);
      }));
      child.kill();
    },
    { scope: 'worker' },
  ],
});

const panel = (page: Page): Locator => page.locator('[data-panel=change]');
const pane = (page: Page): Locator => page.locator('[data-pane=change]');
const list = (page: Page): Locator => panel(page).getByRole('list', { name: 'Changes' }).getByRole('listitem');
const changes = (page: Page): Change[] => parseAddress(new URL(page.url()).search).changes;
const at = (page: Page, name: string): string | null => new URL(page.url()).searchParams.get(name);

async function start(page: Page, site: string, query: Record<string, string | number> = {}): Promise<void> {
  await open(page, site, { text: TEXT, panel: 'change', ...query });
  await expect(panel(page).getByRole('radiogroup', { name: 'What to change' })).toBeVisible({ timeout: SLOW });
  await settled(page);
}

async function choose(page: Page, kind: string): Promise<void> {
  await panel(page).getByRole('radio', { name: kind }).check({ force: true });
  await settled(page);
}

/** Both runs are drawn, and of the changes that the address has: a picture says of which trace it is. */
async function bothDrawn(page: Page): Promise<void> {
  const url = new URL(page.url());
  const origin = url.origin;
  const models = (await (await page.request.get(`${origin}/api/models`)).json()) as { default: string };
  const data = { model: models.default, text: parseAddress(url.search).text, interventions: changes(page) };
  const trace = (await (await page.request.post(`${origin}/api/traces`, { data, headers: { origin } })).json()) as { id: string };
  await expect(panel(page).locator('.effect')).toHaveAttribute('data-trace', trace.id, { timeout: SLOW });
  if (at(page, 'open') === 'change') await expect(pane(page).locator('.stage')).toHaveAttribute('data-trace', trace.id, { timeout: SLOW });
  await settled(page);
}

/** Whole float32 arithmetic on either side, but not one order of it: the server sums a chance in one way, the test in another. */
function close(drawn: number, real: number, what: string): void {
  expect(Math.abs(drawn - real), `${what}: drawn ${drawn}, the engine has ${real}`).toBeLessThanOrEqual(1e-6 + 2e-4 * Math.abs(real));
}

/** What stands side by side is what the engine computes, unchanged and changed. */
async function heldToTheEngine(page: Page, ask: Ask, position: number): Promise<void> {
  await bothDrawn(page);
  await expect(pane(page).locator('.stage')).toHaveAttribute('data-position', String(position));
  const asked = changes(page);
  const marks = await pane(page).locator('[data-run][data-token]').evaluateAll((all) => all.map((each) => ({ run: each.getAttribute('data-run') ?? '', token: Number(each.getAttribute('data-token')), value: Number(each.getAttribute('data-value')), text: each.textContent ?? '' })));
  const ids = [...new Set(marks.map((mark) => mark.token))];
  expect(ids.length).toBeGreaterThan(3);
  const text = parseAddress(new URL(page.url()).search).text;
  for (const run of ['before', 'after'] as const) {
    const real = await ask({ text, changes: run === 'after' ? asked : [], position, ids });
    for (const mark of marks.filter((each) => each.run === run)) {
      close(mark.value, real.chances[ids.indexOf(mark.token)] ?? NaN, `${run}, token ${mark.token}`);
      expect(mark.text).toBe(percent(mark.value));
    }
    const depths = await pane(page).locator(`svg [data-run=${run}]`).evaluateAll((all) => all.map((each) => ({ index: each.getAttribute('data-index')?.split(',') ?? [], value: Number(each.getAttribute('data-value')) })));
    const followed = Number(depths[0]?.index[2]);
    expect(depths.length).toBe(real.lens[0]?.length);
    depths.forEach((depth, i) => close(depth.value, real.lens[ids.indexOf(followed)]?.[i] ?? NaN, `${run}, the lens at ${depth.index[0]}`));
  }
}

it('a head, a block’s attention, its MLP: off and scaled, before and after, each taken back', async ({ page, site, engineChanged }) => {
  await start(page, site);
  const last = (await page.locator('.whole [role=option]').count()) - 1;
  // without a choice it is the head that added most
  await expect(panel(page).getByText('Of all heads, this one added most')).toBeVisible();
  const [block, head] = await Promise.all(['block', 'head'].map((name) => panel(page).getByRole('spinbutton', { name }).inputValue()));
  await panel(page).getByRole('button', { name: 'Switch it off' }).click();
  await expect(list(page)).toHaveText([new RegExp(`head ${head} of block ${block} off`)]);
  expect(at(page, 'changes')).toBe(`zero@blocks.${block}.attn.z(head=${head})`);
  await heldToTheEngine(page, engineChanged, last);
  const effect = await panel(page).locator('.effect').innerText();

  await panel(page).getByRole('combobox', { name: 'Part' }).selectOption('mlp');
  await panel(page).getByRole('spinbutton', { name: 'block' }).fill('0');
  await panel(page).getByRole('spinbutton', { name: 'times' }).fill('0.5');
  await panel(page).getByRole('button', { name: 'Scale it' }).click();
  await expect(list(page)).toHaveCount(2);
  await panel(page).getByRole('combobox', { name: 'Part' }).selectOption('attention');
  await panel(page).getByRole('spinbutton', { name: 'times' }).fill('-1');
  await panel(page).getByRole('button', { name: 'Scale it' }).click();
  await expect(list(page)).toHaveText([/off/, /MLP of block 0 × 0\.5/, /attention of block 0 × −1/]);
  await heldToTheEngine(page, engineChanged, last);

  // the same part again takes the place of what was said before; each is taken back by itself
  await panel(page).getByRole('spinbutton', { name: 'times' }).fill('2');
  await panel(page).getByRole('button', { name: 'Scale it' }).click();
  await expect(list(page)).toHaveText([/off/, /MLP/, /attention of block 0 × 2/]);
  await list(page).nth(1).getByRole('button', { name: /Take back/ }).click();
  await list(page).nth(1).getByRole('button', { name: /Take back/ }).click();
  await expect(list(page)).toHaveCount(1);
  await bothDrawn(page);
  expect(await panel(page).locator('.effect').innerText()).toBe(effect);
  await page.goBack();
  await expect(list(page)).toHaveCount(2);
  await page.goForward();
  await list(page).getByRole('button', { name: /Take back/ }).click();
  await settled(page);
  expect(at(page, 'changes')).toBeNull();
  await expect(panel(page).locator('.effect')).toHaveCount(0);
  await expect(pane(page)).toContainText('Nothing is changed yet');
});

it('÷ √d, the mask, the positions are left out, of one block or all', async ({ page, site, engineChanged, machine }) => {
  await start(page, site);
  const last = (await page.locator('.whole [role=option]').count()) - 1;
  await choose(page, 'step');
  const leave = panel(page).getByRole('button', { name: 'Leave it out' });
  await leave.click();
  await expect(list(page)).toHaveText([/no ÷ √\d+ in every block/]);
  expect(at(page, 'changes')).toBe('skip@blocks.*.attn.qk_scaled');
  await heldToTheEngine(page, engineChanged, last);
  await panel(page).getByRole('radio', { name: 'the mask' }).check();
  await panel(page).getByRole('combobox', { name: 'Where' }).selectOption('one');
  await panel(page).getByRole('spinbutton', { name: 'block' }).fill('1');
  await leave.click();
  await expect(list(page)).toHaveText([/÷/, /no mask in block 1/]);
  await panel(page).getByRole('radio', { name: 'the positions' }).check();
  if (machine !== 'tiny-gpt2') await panel(page).getByRole('combobox', { name: 'Where' }).selectOption('every');
  await leave.click();
  await expect(list(page)).toHaveText([/÷/, /mask/, machine === 'tiny-gpt2' ? /no position vectors/ : /not turned in every block/]);
  await heldToTheEngine(page, engineChanged, last);
  await panel(page).getByRole('button', { name: 'take all back' }).click();
  expect(at(page, 'changes')).toBeNull();
});

it('the pinned cell of a pattern is set; a score goes through the softmax again', async ({ page, site, api, engineChanged }) => {
  await start(page, site, { switches: 'change-cell', block: 1, head: 1 });
  await panel(page).getByRole('button', { name: 'Open the pattern' }).click();
  const picture = page.locator('[data-stage=pattern] .matrix [aria-roledescription=matrix]').last();
  await expect(picture).toBeVisible({ timeout: SLOW });
  await settled(page);
  const cell = await press(picture, 6, 3);
  expect(cell.index).toEqual([1, 6, 3]);
  await expect(panel(page).locator('.says .num')).toHaveText(percent(cell.value));
  // the pattern stays in sight: here a cell is chosen for the form, not to be looked into
  expect(at(page, 'pin')).not.toBeNull();
  await expect(page.locator('.inspector')).toHaveCount(0);
  await choose(page, 'part');
  await expect(page.locator('.inspector')).toHaveCount(1);
  await choose(page, 'cell');
  await panel(page).getByRole('spinbutton', { name: 'Value' }).fill('0.75');
  await panel(page).getByRole('button', { name: 'Change the cell' }).click();
  await expect(list(page)).toHaveText([/head 1 of block 1: share of .* \(3\) for .* \(6\) = 0\.75/]);
  expect(changes(page)).toEqual([{ action: 'set', site: 'blocks.1.attn.pattern', selection: { head: 1, q_pos: 6, k_pos: 3 }, value: 0.75 }]);
  // the stage that was open stays, and shows the new number; what was pinned gives way to it
  await settled(page);
  expect(at(page, 'pin')).toBeNull();
  await expect.poll(async () => (await press(picture, 6, 3, 'hover')).value).toBe(0.75);
  await page.mouse.move(0, 0);

  await visit(page, { text: TEXT, panel: 'change', switches: 'change-cell', block: 1, head: 1, open: 'scores', pin: 'blocks.1.attn.attn_scores:1,6,3' });
  await expect(panel(page).locator('.says')).toContainText('a score of');
  await panel(page).getByRole('combobox', { name: 'How' }).selectOption('set');
  await panel(page).getByRole('spinbutton', { name: 'Value' }).fill('4');
  await panel(page).getByRole('button', { name: 'Change the cell' }).click();
  await expect(list(page)).toHaveCount(1);
  await panel(page).getByRole('button', { name: 'before and after, side by side' }).click();
  await heldToTheEngine(page, engineChanged, (await api.trace(TEXT)).n_pos - 1);
});

it('a direction: one word’s rows less another’s, added at a place', async ({ page, site, api, engineChanged }) => {
  await start(page, site, { switches: 'change-direction' });
  const model = (await api.model()).name;
  const cut = async (text: string): Promise<number[]> => {
    const answer = await page.request.post(`${site}/api/tokenize`, { data: { model, text }, headers: { origin: site } });
    return ((await answer.json()) as { tokens: { id: number }[] }).tokens.map((token) => token.id);
  };
  await expect(panel(page).getByRole('button', { name: 'Add it' })).toBeDisabled();
  await panel(page).getByLabel('toward').fill('war');
  await panel(page).getByLabel('away from').fill('peace');
  await panel(page).getByRole('spinbutton', { name: 'strength' }).fill('7.5');
  await panel(page).getByRole('spinbutton', { name: 'before block' }).fill('1');
  await panel(page).getByRole('button', { name: 'Add it' }).click();
  await settled(page);
  const { n_pos } = await api.trace(TEXT);
  expect(changes(page)).toEqual([{ action: 'add', site: 'blocks.1.resid_pre', selection: { pos: n_pos - 1 }, direction: { plus: await cut(' war'), minus: await cut(' peace'), scale: 7.5 } }]);
  await expect(list(page)).toContainText('7.5 × (');
  await heldToTheEngine(page, engineChanged, n_pos - 1);

  // a link says it in the same words, before its pieces were ever met
  const words = await list(page).locator('span').first().innerText();
  await open(page, site, Object.fromEntries(new URL(page.url()).searchParams));
  await settled(page);
  await expect(list(page).locator('span').first()).toHaveText(words);
});

it('another sentence’s value is put in; the Python that is shown does the same', async ({ page, site, api, model, engineChanged }) => {
  await start(page, site, { switches: 'change-sentence', pos: 3 });
  // answered as it is typed
  await panel(page).getByRole('textbox', { name: 'Another sentence' }).fill(OTHER);
  await expect(panel(page).getByRole('button', { name: 'Put it in' })).toBeVisible({ timeout: SLOW });
  // Enter is for the sentence: what is put in has its button
  await panel(page).getByRole('textbox', { name: 'Another sentence' }).press('Enter');
  expect(at(page, 'other')).toBe(OTHER);
  expect(changes(page)).toEqual([]);
  await panel(page).getByRole('spinbutton', { name: 'block' }).fill('1');
  await panel(page).getByRole('combobox', { name: 'Position in the other sentence' }).selectOption('4');
  await panel(page).getByRole('button', { name: 'Put it in' }).click();
  expect(changes(page)).toEqual([{ action: 'patch', site: 'blocks.1.resid_pre', selection: { pos: 3 }, source: { text: OTHER, pos: 4 } }]);
  const { n_pos } = await api.trace(TEXT);
  await expect(list(page)).toHaveText([/the stream into block 1 at .* \(3\) as in “.*”, position 4/]);
  await page.locator('.whole [role=option]').nth(n_pos - 1).click();
  await heldToTheEngine(page, engineChanged, n_pos - 1);

  await panel(page).getByRole('button', { name: 'as Python' }).click();
  const code = await panel(page).getByRole('region', { name: 'These changes as Python' }).innerText();
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await panel(page).getByRole('button', { name: 'copy', exact: true }).click();
  await expect(panel(page).getByText('copied')).toBeVisible();
  expect((await page.evaluate(() => navigator.clipboard.readText())).trim()).toBe(code.trim());
  // the tiny models have no name that one could load them by
  const loaded = model ? code.replace(/cutaway\.load\([^)]*\)/, `cutaway.load(${JSON.stringify(model)})`) : code;
  const run = spawnSync(python, ['-c', `${loaded}\nimport json\nprint('\\n' + json.dumps([float(x) for x in trace.logits(-1)[:40]]))`], { cwd: root, encoding: 'utf-8' });
  expect(run.stderr).toBe('');
  const said = JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '') as number[];
  const real = await engineChanged({ text: TEXT, changes: changes(page), position: n_pos - 1, ids: said.map((_, id) => id) });
  expect(said.map(Math.fround)).toEqual(real.logits.map(Math.fround));
});

it('what the server refuses is said, stays in the list, and can be taken back', async ({ page, site, watched }) => {
  await start(page, site, { changes: 'zero@blocks.0.attn.z(head=99)~zero@blocks.0.mlp_out' });
  await expect(panel(page).getByRole('alert')).toContainText('head');
  await expect(list(page)).toHaveCount(2);
  await list(page).first().getByRole('button', { name: /Take back/ }).click();
  await expect(panel(page).getByRole('alert')).toHaveCount(0);
  await bothDrawn(page);
  // typing keeps what is changed; a shorter sentence does not have every place that was named
  await visit(page, { text: TEXT, panel: 'change', changes: 'zero@blocks.0.mlp_out~zero@blocks.0.attn_out(pos=2)' });
  await expect(list(page)).toHaveText([/MLP of block 0 off/, /attention of block 0 off at .* \(2\)/]);
  await page.getByLabel('Your sentence').fill('ab');
  await expect(list(page)).toHaveText([/MLP of block 0 off/, /attention of block 0 off at position 2, which this sentence does not have/]);
  await list(page).last().getByRole('button', { name: /Take back/ }).click();
  await bothDrawn(page);
  // a request that is refused is said on the console by the browser itself
  watched.errors.splice(0, watched.errors.length, ...watched.errors.filter((each) => !/ 422 /.test(each)));
});

it('three sentences, aligned; the cosines by depth are the engine’s', async ({ page, site, api, engineChanged, machine }) => {
  const [text, second, third] = ['American shrew mole', 'One mole of carbon', 'Take a biopsy of the mole'];
  await start(page, site, { text, other: `${second}\n${third}`, switches: 'change-sentence', open: 'change.sentences' });
  const [own, two, three] = await Promise.all([text, second, third].map((each) => api.trace(each)));
  const word = own?.tokens.at(-1);
  const here = (own?.n_pos ?? 0) - 1;
  const pictures = pane(page).locator('[data-site=cosine][aria-roledescription=matrix]');
  await expect(pictures).toHaveCount(2, { timeout: SLOW });
  await expect(pane(page).locator('b[data-cosine]')).toHaveCount(3, { timeout: SLOW });
  const marks = await pane(page).locator('svg [data-site=cosine]').evaluateAll((all) => all.map((each) => ({ key: each.getAttribute('data-run') ?? '', index: (each.getAttribute('data-index') ?? '').split(',').map(Number), value: Number(each.getAttribute('data-value')) })));
  for (const [key, a, b] of [['1-2', text, second], ['1-3', text, third], ['2-3', second, third]] as const) {
    const line = marks.filter((mark) => mark.key === key);
    const [from = 0, to = 0] = line[0]?.index ?? [];
    const [real] = await engineChanged<number[][]>({ text: a, other: b, pairs: [[from, to]] });
    expect(line.map((mark) => mark.index[2])).toEqual(real?.map((_, depth) => depth));
    line.forEach((mark, depth) => expect(mark.value, `${key} at depth ${depth}`).toBeCloseTo(real?.[depth] ?? NaN, 4));
    await expect(pane(page).locator(`b[data-cosine="${key}"]`)).toHaveText(short(line.at(-1)?.value));
  }
  const starts = marks.filter((mark) => mark.index[2] === 0);
  expect(starts.map((mark) => mark.index[0])).toEqual([here, here, starts[0]?.index[1]]);
  // one piece in all three is one row of the table: before any context it is the same vector, unless its position is in it
  expect(two?.tokens[starts[0]?.index[1] ?? -1]?.id).toBe(word?.id);
  expect(three?.tokens[starts[1]?.index[1] ?? -1]?.id).toBe(word?.id);
  for (const mark of starts) {
    if (machine === 'tiny-gpt2') expect(mark.value).toBeLessThan(1);
    else expect(mark.value).toBeCloseTo(1, 5);
  }
  // the map's cells are those cosines, too; a click on one chooses its pair
  const map = pictures.last();
  const rows = await map.evaluate((element) => (element as unknown as { __cutaway: { rows: number } }).__cutaway.rows);
  const cell = await press(map, rows - 1, 1);
  const [[, real = NaN] = []] = await engineChanged<number[][]>({ text, other: third, pairs: [[cell.index[0], cell.index[1]]] });
  expect(cell.value).toBeCloseTo(real, 4);
  await expect.poll(() => at(page, 'pos') ?? String(here)).toBe(String(cell.index[0]));

  // a place of the other sentence that is chosen stands in the address, for this place alone
  await pane(page).getByRole('group', { name: 'Sentence 1 and sentence 2, aligned' }).getByTitle('sentence 2, position 0').click();
  await expect.poll(() => at(page, 'switches')).toMatch(/there-\d+-0/);
});

it('the sweep: rows as they come, stopped, finished, each cell the engine’s, a click patches it', async ({ page, site, api, engineChanged, machine }) => {
  it.setTimeout(240_000);
  await start(page, site, { other: OTHER, switches: 'change-sentence', open: 'change.sweep' });
  const [own, theirs, model] = [await api.trace(TEXT), await api.trace(OTHER), await api.model()];
  const [from, toward] = [(await api.next(own)).candidates[0]?.token.id ?? 0, (await api.next(theirs)).candidates[0]?.token.id ?? 0];
  const status = pane(page).getByRole('status');
  await expect(pane(page).getByRole('button', { name: 'Start' })).toBeVisible({ timeout: SLOW });
  if (machine === 'default') {
    await pane(page).getByRole('button', { name: 'Start' }).click();
    await expect(status).toHaveText(/^[1-9]\d* of 30 blocks$/, { timeout: SLOW });
    // by key: a pointer waits for the layout to stand still, and the sweep may be done by then
    await pane(page).getByRole('button', { name: 'Stop' }).press('Enter');
    await expect(status).toHaveText(/stopped/);
    const had = await status.innerText();
    await page.waitForTimeout(500);
    await expect(status).toHaveText(had);
  }
  await pane(page).getByRole('button', { name: /^Start/ }).click();
  await expect(status).toHaveText(`${model.config.n_layer} of ${model.config.n_layer} blocks, done`, { timeout: 180_000 });
  const picture = pane(page).locator('[data-site=sweep][aria-roledescription=matrix]');
  const base = await engineChanged({ text: TEXT, changes: [], position: own.n_pos - 1, ids: [toward, from] });
  const lead = ({ logits }: Changed): number => (logits[0] ?? 0) - (toward === from ? 0 : (logits[1] ?? 0));
  // of one length, place stands beside place; else the change that a click makes says which place was taken
  const cells = own.n_pos === theirs.n_pos ? [[0, 0], [own.n_pos - 1, model.config.n_layer - 1], [3, 1]] : [];
  for (const [row = 0, col = 0] of cells) {
    const cell = await press(picture, row, col, 'hover');
    expect(cell.index).toEqual([col, row]);
    const change = { action: 'patch', site: `blocks.${col}.resid_pre`, selection: { pos: row }, source: { text: OTHER, pos: row } };
    const real = lead(await engineChanged({ text: TEXT, changes: [change], position: own.n_pos - 1, ids: [toward, from] }));
    close(Number(await pane(page).locator(`[data-sweep="${col},${row}"]`).getAttribute('data-value')), real, `block ${col}, position ${row}`);
    expect(cell.value).toBeCloseTo(real - lead(base), 3);
  }
  const cell = await press(picture, 0, 1);
  await expect(list(page)).toHaveCount(1);
  const [change] = changes(page);
  expect(change).toMatchObject({ action: 'patch', site: 'blocks.1.resid_pre', selection: { pos: 0 }, source: { text: OTHER } });
  const real = lead(await engineChanged({ text: TEXT, changes: [change], position: own.n_pos - 1, ids: [toward, from] }));
  expect(cell.value).toBeCloseTo(real - lead(base), 3);
  // going elsewhere and back finds it as it was
  await pane(page).getByRole('button', { name: 'Before and after' }).click();
  await heldToTheEngine(page, engineChanged, own.n_pos - 1);
  await pane(page).getByRole('button', { name: 'Every place' }).click();
  await expect(status).toHaveText(/done/);
});

it('what was put in is told apart where it stands: no sum claims it', async ({ page, site, api }) => {
  const trace = await api.trace(TEXT);
  const last = trace.n_pos - 1;
  await start(page, site, { block: 1, head: 1, open: 'mix', changes: 'zero@blocks.1.attn.z(head=1)' });
  const mix = page.locator('[data-stage=mix]');
  await expect(mix.locator('.changed')).toContainText('head 1 of block 1 off', { timeout: SLOW });
  const [shares, values] = [await api.values(trace, 'blocks.1.attn.pattern', { head: 1, q_pos: last }), await api.values(trace, 'blocks.1.attn.v')];
  const [, kvHeads = 1, dHead = 1] = values.shape;
  const kv = Math.floor(kvHeads / (await api.model()).config.n_head);
  const z = shares.data.reduce((sum, share, key) => sum + share * (values.data[(key * kvHeads + kv) * dHead] ?? 0), 0);
  const sum = mix.getByRole('list', { name: 'Shares times values' });
  await expect(sum.getByText('the change made here')).toBeVisible({ timeout: SLOW });
  const written = await sum.getByRole('button').filter({ hasText: 'the change made here' }).locator('.num').innerText();
  expect(Number(written.replace('−', '-'))).toBeCloseTo(-z, 2);
  // the stage of another block says nothing; that of this one, undone, neither
  await visit(page, { text: TEXT, block: 0, open: 'mix', changes: 'zero@blocks.1.attn.z(head=1)' });
  await settled(page);
  await expect(mix.locator('.changed')).toHaveCount(0);

  await visit(page, { text: TEXT, block: 1, head: 1, pos: 6, open: 'pattern', changes: 'set(0.75)@blocks.1.attn.pattern(head=1;q_pos=6;k_pos=3)' });
  const row = await api.values(trace, 'blocks.1.attn.pattern', { head: 1, q_pos: 6 });
  const total = row.data.reduce((all, share, key) => all + (key === 3 ? 0.75 : share), 0);
  await expect(page.locator('[data-stage=pattern]')).toContainText(`The row sums to ${short(total)}.`, { timeout: SLOW });
});

const VIEWS: Record<string, string>[] = [
  {},
  { changes: 'zero@blocks.1.attn.z(head=0)~add(plus:9;minus:12;scale:3)@blocks.1.resid_pre(pos=2)', open: 'change' },
  { switches: 'change-step' },
  { switches: 'change-cell', pin: 'blocks.1.attn.pattern:0,5,2', block: '1', open: 'pattern' },
  { switches: 'change-direction' },
  { switches: 'change-sentence', other: `${OTHER}\nTake a mole`, open: 'change.sentences' },
  { switches: 'change-sentence', other: OTHER, open: 'change.sweep' },
];

for (const scheme of ['light', 'dark'] as const) {
  it(`axe finds nothing serious in any form or view, ${scheme}`, async ({ page, site, machine }) => {
    it.skip(machine !== 'default', 'the same words and colours on every model');
    it.setTimeout(180_000);
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await start(page, site);
    for (const view of VIEWS) {
      await visit(page, { text: TEXT, panel: 'change', ...view });
      await settled(page);
      const { violations } = await new AxeBuilder({ page }).analyze();
      const serious = violations.filter((each) => each.impact === 'serious' || each.impact === 'critical');
      expect.soft(serious.map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => `${node.target.join(' ')} ${node.failureSummary?.split('\n')[1] ?? ''}`).join(' | ')}`), JSON.stringify(view)).toEqual([]);
    }
  });
}

it('on a narrow screen nothing is wider than the window, and it can be done there', async ({ page, site, machine }) => {
  it.skip(machine !== 'default', 'one layout for every model');
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await page.goto(`${site}/?${new URLSearchParams({ text: TEXT, panel: 'change' }).toString()}`);
  await expect(panel(page).getByRole('button', { name: 'Switch it off' })).toBeVisible({ timeout: SLOW });
  await panel(page).getByRole('button', { name: 'Switch it off' }).click();
  await expect(panel(page).locator('.effect')).toBeVisible({ timeout: SLOW });
  await expect(pane(page).getByRole('list', { name: 'Chances before and after' })).toBeVisible({ timeout: SLOW });
  for (const view of VIEWS) {
    await page.goto(`${site}/?${new URLSearchParams({ text: TEXT, panel: 'change', ...view }).toString()}`);
    await expect(panel(page).getByRole('radiogroup', { name: 'What to change' })).toBeVisible({ timeout: SLOW });
    await page.waitForLoadState('networkidle');
    const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    expect.soft(needs, JSON.stringify(view)).toBeLessThanOrEqual(has ?? 0);
    const small = await page.evaluate(() => [...document.querySelectorAll('[data-panel=change] *, [data-pane=change] *')].filter((each) => each.childElementCount === 0 && each.textContent?.trim() && each.checkVisibility() && !each.closest('.unseen') && parseFloat(getComputedStyle(each).fontSize) < 12).map((each) => each.textContent?.slice(0, 20)));
    expect.soft(small, JSON.stringify(view)).toEqual([]);
  }
});

it('by keys alone: the panel, a change, its chart, and back out', async ({ page, site, machine }) => {
  it.skip(machine !== 'default', 'one set of keys for every model');
  await open(page, site, { text: TEXT });
  const word = page.getByRole('navigation', { name: 'Panels' }).getByRole('button', { name: 'Change' });
  await word.focus();
  await page.keyboard.press('Enter');
  const kind = panel(page).getByRole('radio', { name: 'part' });
  await expect(kind).toBeVisible({ timeout: SLOW });
  await settled(page);
  for (let i = 0; i < 12 && !(await kind.evaluate((element) => element === document.activeElement)); i++) await page.keyboard.press('Tab');
  await expect(kind).toBeFocused();
  await page.keyboard.press('ArrowRight');
  await expect(panel(page).getByRole('button', { name: 'Leave it out' })).toBeVisible();
  await expect.poll(() => at(page, 'switches')).toBe('change-step');
  const leave = panel(page).getByRole('button', { name: 'Leave it out' });
  for (let i = 0; i < 12 && !(await leave.evaluate((element) => element === document.activeElement)); i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await expect(list(page)).toHaveCount(1);
  await bothDrawn(page);
  const chart = pane(page).getByRole('application');
  await chart.focus();
  await page.keyboard.press('Home');
  await expect(pane(page).getByText(/^Before the blocks/)).toBeVisible();
  await page.keyboard.press('ArrowRight');
  await expect(pane(page).getByText(/^After block 0/)).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(pane(page)).toHaveCount(0);
  await page.keyboard.press('Escape');
  await expect(panel(page)).toHaveCount(0);
  // what was changed stays changed: the address says so
  expect(at(page, 'changes')).toBe('skip@blocks.*.attn.qk_scaled');
});
