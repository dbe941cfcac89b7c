import { expect, test } from './server';

const SENTENCE = 'The robots will bring peace to the people of the city and then they will go home again before the sun';
const WORDS = Array.from({ length: 60 }, () => SENTENCE).join(' ').split(' ').slice(0, 1000).join(' ');
const BYTES = 30_000_000;

test('a text of a thousand pieces opens, and a cell of its pattern shows the number of the engine', async ({ page, site, engine }) => {
  let moved = 0;
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (moved += encodedDataLength));
  await page.goto(`${site}/?${new URLSearchParams({ text: WORDS, block: '3', head: '2', open: 'pattern' })}`);
  const picture = page.locator('[data-stage=pattern] [aria-roledescription=matrix]').last();
  await expect(picture).toBeVisible({ timeout: 60_000 });
  const n = Number(await page.getByRole('listbox', { name: 'Positions' }).first().getByRole('option').first().getAttribute('aria-setsize'));
  expect(n).toBeGreaterThanOrEqual(1000);
  await page.waitForLoadState('networkidle');
  const [query, key] = [n - 20, 300];
  const cell = await picture.evaluate((element, [row, col]) => {
    element.scrollIntoView({ block: 'end' });
    return (element as unknown as { __cutaway: { cell: (row: number, col: number) => { x: number; y: number; index: number[]; value: number } } }).__cutaway.cell(row ?? 0, col ?? 0);
  }, [query, key]);
  expect(cell.index).toEqual([2, query, key]);
  const box = await picture.boundingBox();
  await page.mouse.move((box?.x ?? 0) + cell.x, (box?.y ?? 0) + cell.y);
  await expect(picture).toHaveAttribute('data-index', `2,${query},${key}`);
  const [value] = await engine(WORDS, [{ site: 'blocks.3.attn.pattern', index: cell.index }]);
  expect(Math.abs(cell.value - (value ?? NaN))).toBeLessThanOrEqual(1e-6 + 1e-4 * Math.abs(value ?? NaN));
  expect(moved).toBeLessThan(BYTES);
});
