/** A part of the page as a file: SVG, PNG; tables as CSV. */
import { csvOf, csvOfRows, type Table } from '../../charts/csv';
import { fileName, saveAs } from '../../charts/save';
import { svgDocument, SvgPaper } from '../../charts/svg';
import { itemsOf, type Extent, type Item } from './picture';

const MARGIN = 16;
/** shapes of the whole document, canvases included, each of which has its own limit */
const MOST = 400_000;
const SHARPNESS = 2;
const MOST_PIXELS = 64_000_000;

interface Sheet {
  items: Item[];
  extent: Extent;
  ground: string;
}

/** Rows of a long text that are out of sight leave an empty stretch: so much of it is kept, and said. */
const EMPTY = 400;
const KEPT = 48;

function sheetOf(root: Element): Sheet {
  const items = closedUp(itemsOf(root), getComputedStyle(document.body).color);
  const own = root.getBoundingClientRect();
  const extent = items.reduce<Extent>(
    (all, { box }) => ({ left: Math.min(all.left, box.left), top: Math.min(all.top, box.top), right: Math.max(all.right, box.right), bottom: Math.max(all.bottom, box.bottom) }),
    { left: own.left, top: own.top, right: own.left, bottom: own.top },
  );
  const { left, top, right, bottom } = extent;
  return {
    items, ground: getComputedStyle(document.body).backgroundColor,
    extent: { left: Math.floor(left - MARGIN), top: Math.floor(top - MARGIN), right: Math.ceil(right + MARGIN), bottom: Math.ceil(bottom + MARGIN) },
  };
}

/** The same without what is empty for longer than a picture is empty anywhere; three dots stand for it. */
export function closedUp(items: readonly Item[], ink: string): Item[] {
  const sorted = items.map((item, at) => ({ item, at })).sort((a, b) => a.item.box.top - b.item.box.top);
  const moved: Item[] = [];
  const dots: Item[] = [];
  let [bottom, by] = [sorted[0]?.item.box.top ?? 0, 0];
  for (const { item, at } of sorted) {
    const empty = item.box.top - bottom;
    if (empty > EMPTY) {
      by += empty - KEPT;
      dots.push(ellipsis(item.box.left, bottom - by + empty - KEPT, ink));
    }
    bottom = Math.max(bottom, item.box.bottom);
    moved[at] = by ? up(item, by) : item;
  }
  return [...moved, ...dots];
}

function up({ box, svg, canvas }: Item, by: number): Item {
  return {
    box: { ...box, top: box.top - by, bottom: box.bottom - by },
    svg: (paper, left, top) => svg(paper, left, top + by),
    canvas: (ctx, left, top, scale) => canvas(ctx, left, top + by, scale),
  };
}

/** ⋮ in the middle of the stretch that is kept */
function ellipsis(x: number, y: number, ink: string): Item {
  const write = (paper: Pick<CanvasRenderingContext2D, 'fillText'> & { fillStyle: unknown; font: string; textAlign: string; textBaseline: string }, left: number, top: number): void => {
    [paper.fillStyle, paper.font, paper.textAlign, paper.textBaseline] = [ink, '400 20px sans-serif', 'start', 'middle'];
    paper.fillText('⋮', x + 24 - left, y + KEPT / 2 - top);
  };
  return { box: { left: x, top: y, right: x + KEPT, bottom: y + KEPT }, svg: write as Item['svg'], canvas: write as Item['canvas'] };
}

/** `said`: what the picture is, and the address that shows it. */
export function svgOf(root: Element, title: string, said: string): string {
  const { items, extent, ground } = sheetOf(root);
  const [width, height] = [extent.right - extent.left, extent.bottom - extent.top];
  const paper = new SvgPaper(MOST);
  paper.fillStyle = ground;
  paper.fillRect(0, 0, width, height);
  for (const item of items) {
    paper.globalAlpha = 1;
    item.svg(paper, extent.left, extent.top);
  }
  return svgDocument(paper.body, width, height, title, said);
}

export async function pngOf(root: Element): Promise<Blob> {
  const { items, extent, ground } = sheetOf(root);
  const [width, height] = [extent.right - extent.left, extent.bottom - extent.top];
  const scale = Math.min(SHARPNESS, Math.sqrt(MOST_PIXELS / (width * height)));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const ctx = canvas.getContext('2d');
  if (!ctx) throw new Error('This browser gave no canvas to draw on.');
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, width, height);
  for (const item of items) {
    ctx.globalAlpha = 1;
    item.canvas(ctx, extent.left, extent.top, scale);
  }
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('The picture could not be made; it may be too large.'))), 'image/png'));
}

export function saveSvg(root: Element, title: string, said: string): void {
  saveAs(fileName(title, 'svg'), new Blob([svgOf(root, title, said)], { type: 'image/svg+xml' }));
}

export async function savePng(root: Element, title: string): Promise<void> {
  saveAs(fileName(title, 'png'), await pngOf(root));
}

export function saveCsv(title: string, table: Table): void {
  saveAs(fileName(title, 'csv'), new Blob([csvOf(table)], { type: 'text/csv;charset=utf-8' }));
}

/** A table that stands in the document. */
export function saveTable(title: string, table: HTMLTableElement): void {
  const rows = [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent?.trim() ?? ''));
  saveAs(fileName(title, 'csv'), new Blob([csvOfRows(rows)], { type: 'text/csv;charset=utf-8' }));
}
