/** `node scripts/figures.mjs URL`: what a reader waits for, measured in Chromium; one JSON object on stdout.
 *
 * `keystroke`: from an input event to the next frame that shows the new text's whole view, less the engine's own seconds
 * (the manifest's), in ms. `first`: from opening to the first whole view, server warm, page cold. `bytes`: what a
 * whole view of that text moved, scripts aside. `frames`: frames a second while the pointer crosses a pattern of 200;
 * `framesLong`: of 1,000; `framesScores`: over the scores of 1,000.
 */
import { chromium } from '@playwright/test';

const [site] = process.argv.slice(2);
const WORDS = 'The robots will bring peace to the people of the city and then they will go home again before the sun';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const fresh = async () => browser.newPage({ viewport: { width: 1440, height: 900 } });
const ready = (page) => page.locator('.slats').first().waitFor();

async function tokens(text) {
  const { default: model } = await (await fetch(`${site}/api/models`)).json();
  const answer = await fetch(`${site}/api/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model, text }) });
  return (await answer.json()).n_pos;
}

/** A text of exactly `n` pieces, cut out of `words`, ending in `end`. */
async function textOf(n, words, end) {
  const all = words.split(' ');
  for (let k = 1; k <= all.length; k++) {
    const text = `${all.slice(0, k).join(' ')}${end}`;
    if ((await tokens(text)) >= n) return text;
  }
  throw new Error(`no text of ${n} pieces`);
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const base = await textOf(31, `${WORDS} ${WORDS}`, '');
await tokens(base);

// opening: the server has its weights and no page is cached
const opening = [];
for (let i = 0; i < 5; i++) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const start = performance.now();
  await page.goto(`${site}/?text=${encodeURIComponent(base)}`, { waitUntil: 'commit' });
  await ready(page);
  opening.push(performance.now() - start);
  await context.close();
}

// typing: the clock is the page's own; a view is whole when its rows are the new text's and a frame has been painted
const page = await fresh();
await page.goto(`${site}/?text=${encodeURIComponent(base)}`);
await ready(page);
await page.waitForLoadState('networkidle');
const manifests = [];
page.on('response', async (response) => {
  if (response.url().endsWith('/api/traces') && response.ok()) manifests.push(await response.json().catch(() => null));
});
let moved = 0;
const session = await page.context().newCDPSession(page);
await session.send('Network.enable');
session.on('Network.loadingFinished', ({ encodedDataLength }) => (moved += encodedDataLength));
const beyond = [];
const whole = [];
const bytes = [];
for (const end of [' a', ' b', ' c', ' d', ' f', ' g', ' h', ' k', ' m']) {
  manifests.length = 0;
  moved = 0;
  const took = await page.evaluate((text) => new Promise((resolve, reject) => {
    const input = document.querySelector('.sentence input');
    const last = (text.split(' ').at(-1) ?? '').trim();
    // the lengths of what block 0 added at the last position: set in the same turn as the canvas is painted
    const stem = () => {
      const hook = document.querySelector('.slats')?.__cutaway;
      return hook ? hook.cell(hook.rows - 1, 0).value : NaN;
    };
    const before = stem();
    const start = performance.now();
    input.value = text;
    input.dispatchEvent(new Event('input', { bubbles: true }));
    const look = () => {
      const rows = document.querySelectorAll('.whole [role=option]');
      const shows = rows[rows.length - 1]?.textContent?.endsWith(last) && stem() !== before;
      if (shows) requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
      else if (performance.now() - start > 10_000) reject(new Error('the view did not come'));
      else requestAnimationFrame(look);
    };
    look();
  }), `${base}${end}`);
  await page.waitForLoadState('networkidle');
  const engine = (manifests.at(-1)?.seconds.engine ?? 0) * 1000;
  whole.push(took);
  beyond.push(took - engine);
  bytes.push(moved);
}

// moving over a square of positions; the text is looked up by halving: the pieces of a text grow with its words
async function moving(n, stage) {
  const all = Array.from({ length: Math.ceil(n / 15) }, () => WORDS).join(' ').split(' ');
  let [low, high] = [1, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    // one that is too long for the server has no count
    if (!((await tokens(all.slice(0, middle).join(' '))) < n)) high = middle;
    else low = middle + 1;
  }
  await page.goto(`${site}/?${new URLSearchParams({ text: all.slice(0, low).join(' '), block: '3', open: stage })}`);
  // the first of them is the whole square: of a long text a magnified part stands beside it
  const picture = page.locator(`[data-stage=${stage}] .layer:not([inert]) [aria-roledescription=matrix]`).first();
  await picture.waitFor({ timeout: 60_000 });
  await page.waitForLoadState('networkidle');
  await picture.evaluate((element) => element.scrollIntoView({ block: 'center' }));
  const box = await picture.boundingBox();
  await page.evaluate(() => {
    window.frames_ = [];
    const tick = (at) => { window.frames_.push(at); window.going_ = requestAnimationFrame(tick); };
    window.going_ = requestAnimationFrame(tick);
  });
  const until = performance.now() + 3000;
  const [top, bottom] = [Math.max(box.y, 0), Math.min(box.y + box.height, 900)];
  for (let i = 0; performance.now() < until; i++) {
    await page.mouse.move(box.x + ((i * 7) % Math.floor(box.width)), top + ((i * 5) % Math.floor(bottom - top)));
  }
  const stamps = await page.evaluate(() => { cancelAnimationFrame(window.going_); return window.frames_; });
  return ((stamps.length - 1) * 1000) / (stamps.at(-1) - stamps[0]);
}
const frames = await moving(200, 'pattern');
const framesLong = await moving(1000, 'pattern');
const framesScores = await moving(1000, 'scores');
await browser.close();
console.log(JSON.stringify({
  tokens: await tokens(`${base} a`), keystroke: median(beyond), keystrokes: beyond, whole: median(whole), first: median(opening), opening,
  bytes: Math.max(...bytes), frames, framesLong, framesScores,
}));
