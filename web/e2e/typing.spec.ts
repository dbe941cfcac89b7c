/** Typing: the newest keystroke wins, nothing that was typed is lost, and what cannot be computed is said kindly. */
import { drawn, open, press, SLOW, stage } from './look';
import { expect, startServer, test, watch, type Watched } from './server';
import { Api } from './api';

/** The browser itself logs each answer that is not 2xx, and each refused connection. */
function forgive(watched: Watched): void {
  watched.errors = watched.errors.filter((error) => !/Failed to load resource/.test(error));
}

test('fast typing ends on the last text, whatever came back in between', async ({ page, site, api }) => {
  await open(page, site, { text: 'The' });
  // answers to some keystrokes come late
  let sent = 0;
  await page.route('**/api/traces', async (route) => {
    if (sent++ % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 400));
    await route.continue().catch(() => undefined);
  });
  const text = 'The quick brown fox jumps over the lazy';
  await page.getByLabel('Your sentence').press('End');
  await page.getByLabel('Your sentence').pressSequentially(text.slice(3), { delay: 8 });
  const trace = await api.trace(text);
  const whole = page.getByRole('region', { name: 'The whole model' });
  await expect(whole.getByRole('option')).toHaveText(trace.tokens.map((token) => token.display), { timeout: SLOW });
  await drawn(page);
  const next = await api.next(trace);
  await expect(page.getByRole('list', { name: 'Candidates' }).getByRole('button').first())
    .toHaveAttribute('data-index', `${trace.n_pos - 1},${next.candidates[0]?.token.id}`);
  expect(sent).toBeGreaterThan(1);
  expect(new URL(page.url()).searchParams.get('text')).toBe(text);
  await expect(whole.getByRole('option')).toHaveText(trace.tokens.map((token) => token.display));
});

test('empty text, emoji and bytes, and 200 tokens', async ({ page, site, api }) => {
  await open(page, site);
  const input = page.getByLabel('Your sentence');
  await input.fill('');
  await expect(page.getByText('Write a sentence above')).toBeVisible();
  await expect(page.getByRole('alert')).toHaveCount(0);

  const emoji = '🎉 naïve 👩‍👩‍👧 <b>&amp;</b>';
  await input.fill(emoji);
  const trace = await api.trace(emoji);
  const whole = page.getByRole('region', { name: 'The whole model' });
  await expect(whole.getByRole('option')).toHaveText(trace.tokens.map((token) => token.display), { timeout: SLOW });
  await expect(input).toHaveValue(emoji);
  await expect(page.locator('main b b')).toHaveCount(0);

  const long = Array.from({ length: 200 }, () => 'peace').join(' ');
  await input.fill(long);
  const { n_pos } = await api.trace(long);
  expect(n_pos).toBeGreaterThanOrEqual(200);
  await expect(whole.getByRole('option')).toHaveCount(n_pos, { timeout: SLOW });
  await drawn(page);
});

test('a text that is too long is refused in a sentence that helps; the last picture stays', async ({ page, site, watched }) => {
  await open(page, site, { text: 'The robots' });
  await page.getByLabel('Your sentence').fill('peace '.repeat(2500));
  await expect(page.getByRole('alert')).toContainText(/2,5\d\d tokens/, { timeout: SLOW });
  await expect(page.getByRole('alert')).toContainText(/shorten/);
  await expect(page.getByRole('region', { name: 'The whole model' }).getByRole('option')).toHaveCount(2);
  forgive(watched);
  await page.getByLabel('Your sentence').fill('The robots bring');
  await expect(page.getByRole('alert')).toHaveCount(0);
  await expect(page.getByRole('region', { name: 'The whole model' }).getByRole('option')).toHaveCount(3, { timeout: SLOW });
  forgive(watched);
});

test('a model or a stage that is not there', async ({ page, site, watched }) => {
  await page.goto(`${site}/?model=no-such-model`);
  await expect(page.getByRole('alert')).toContainText('no-such-model', { timeout: SLOW });
  await open(page, site, { open: 'no-such-stage', block: 999, head: 999, pos: 999, pin: 'no.such.site:1,2', stop: 'nowhere' });
  await expect(page.getByRole('region', { name: 'The whole model' })).toBeVisible();
  forgive(watched);
});

test('two tabs, each with its own sentence', async ({ page, context, site, api }) => {
  const other = await context.newPage();
  const texts = ['The capital of France is', 'Once upon a time there was'];
  await Promise.all([open(page, site), open(other, site)]);
  await Promise.all([page, other].map((tab, i) => tab.getByLabel('Your sentence').fill(texts[i] ?? '')));
  for (const [i, tab] of [page, other].entries()) {
    const trace = await api.trace(texts[i] ?? '');
    await expect(tab.getByRole('region', { name: 'The whole model' }).getByRole('option')).toHaveText(trace.tokens.map((token) => token.display), { timeout: SLOW });
    const next = await api.next(trace);
    await expect(tab.getByRole('list', { name: 'Candidates' }).getByRole('button').first()).toContainText(next.candidates[0]?.token.display ?? '');
  }
});

test('a server that goes away and comes back loses nothing that was typed', async ({ browser, model }) => {
  test.setTimeout(180_000);
  const first = await startServer(model);
  const context = await browser.newContext();
  const watched = await watch(context, () => first.url);
  const page = await context.newPage();
  await open(page, first.url, { text: 'The robots' });
  await first.stop();

  await page.getByLabel('Your sentence').fill('The robots will bring');
  await expect(page.getByRole('status').filter({ hasText: 'does not answer' })).toBeVisible();
  await page.getByLabel('Your sentence').press('End');
  await page.getByLabel('Your sentence').pressSequentially(' peace');
  await expect(page.getByLabel('Your sentence')).toHaveValue('The robots will bring peace');

  const second = await startServer(model, { port: first.port });
  try {
    const api = new Api(second.url);
    const whole = page.getByRole('region', { name: 'The whole model' });
    const trace = await api.trace('The robots will bring peace');
    await expect(whole.getByRole('option')).toHaveText(trace.tokens.map((token) => token.display), { timeout: SLOW });
    await expect(page.getByText('does not answer')).toHaveCount(0);
    await drawn(page);
    await expect(page.getByLabel('Your sentence')).toHaveValue('The robots will bring peace');
    expect(watched.elsewhere).toEqual([]);
  } finally {
    await context.close();
    await second.stop();
  }
});

test('a trace that the server has dropped is made again by itself', async ({ browser, model }) => {
  test.setTimeout(180_000);
  const first = await startServer(model);
  const context = await browser.newContext();
  const page = await context.newPage();
  await open(page, first.url, { text: 'The robots will bring' });
  await first.stop();
  // a new server knows none of the old one's traces: every question about them gets a 410
  const second = await startServer(model, { port: first.port });
  try {
    const gone: number[] = [];
    page.on('response', (response) => response.status() === 410 && gone.push(410));
    await press(page.locator('.slats'), 1, 2);
    const pattern = await stage(page, 'pattern');
    await expect(pattern.locator('[aria-roledescription=matrix]').first()).toBeVisible({ timeout: SLOW });
    expect(gone.length).toBeGreaterThan(0);
    await expect(page.getByRole('alert')).toHaveCount(0);
    const trace = await new Api(second.url).trace('The robots will bring');
    expect(trace.n_pos).toBe(4);
  } finally {
    await context.close();
    await second.stop();
  }
});
