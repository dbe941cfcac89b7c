/** The page's pictures. `npm run gallery` writes them to docs/gallery; any other run beside its own results. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { open, settled, stage } from './look';
import { expect, root, test } from './server';

const SIZES = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } };
const [BLOCK, HEAD] = [23, 0];
const OUTSIDE = ['pieces', 'embedding', 'norm_final', 'logits', 'draw', 'did'];
const INSIDE = ['norm', 'qkv', 'rope', 'scores', 'pattern', 'mix', 'norm2', 'mlp'];

interface Shot {
  name: string;
  query: Record<string, string | number>;
  size?: keyof typeof SIZES;
  dark?: boolean;
}

const inside = (id: string): Shot['query'] => ({ block: BLOCK, head: HEAD, open: id });
const SHOTS: Shot[] = [
  { name: 'whole', query: {} },
  { name: 'whole-dark', query: {}, dark: true },
  { name: 'whole-narrow', query: {}, size: 'narrow' },
  { name: 'block', query: { block: BLOCK, head: HEAD } },
  { name: 'stop', query: { stop: 'pattern', ...inside('pattern') } },
  { name: 'stop-narrow', query: { stop: 'pattern', ...inside('pattern') }, size: 'narrow' },
  { name: 'find', query: { panel: 'find', ...inside('pattern') } },
  { name: 'find-narrow', query: { panel: 'find' }, size: 'narrow' },
  { name: 'change', query: { panel: 'change', open: 'change', changes: 'zero@blocks.23.attn.z(head=0)' } },
  { name: 'generate', query: { panel: 'generate' } },
  { name: 'models', query: { panel: 'models', open: 'models' } },
  { name: 'play', query: { panel: 'play', open: 'play', t: 26.5 } },
  { name: 'map', query: { panel: 'map' } },
  { name: 'map-dark', query: { panel: 'map' }, dark: true },
  { name: 'pinned', query: { ...inside('pattern'), pin: `blocks.${BLOCK}.attn.pattern:${HEAD},9,4` } },
  ...OUTSIDE.map((id) => ({ name: id, query: { open: id } })),
  ...INSIDE.map((id) => ({ name: id, query: inside(id) })),
  { name: 'scores-dark', query: inside('scores'), dark: true },
  { name: 'mlp-narrow', query: inside('mlp'), size: 'narrow' as const },
];

const folder = process.env.CUTAWAY_GALLERY ? join(root, 'docs/gallery') : null;

/** The same picture in a third of the bytes, by the browser's own encoder. */
async function asWebp(paper: Page, png: Buffer): Promise<Buffer> {
  const text = await paper.evaluate(async (source) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${source}`)).blob());
    const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
    return canvas.toDataURL('image/webp', 0.75).split(',')[1] ?? '';
  }, png.toString('base64'));
  return Buffer.from(text, 'base64');
}

test('pictures', async ({ page, context, site }, info) => {
  test.setTimeout(240_000);
  const paper = await context.newPage();
  if (folder) mkdirSync(folder, { recursive: true });
  for (const { name, query, size = 'wide', dark = false } of SHOTS) {
    await test.step(name, async () => {
      await page.setViewportSize(SIZES[size]);
      await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' });
      await open(page, site, query);
      // a panel's pane is no stage
      if (typeof query.open === 'string' && query.open !== query.panel) {
        const unfolded = await stage(page, query.open);
        if (!query.stop) await unfolded.evaluate((element) => element.scrollIntoView({ block: 'start' }));
      }
      await settled(page);
      const png = await page.screenshot({ path: info.outputPath(`${name}.png`), animations: 'disabled' });
      if (!folder) return;
      const small = await asWebp(paper, png);
      expect(small.length, name).toBeLessThan(150_000);
      writeFileSync(join(folder, `${name}.webp`), small);
    });
  }
});
