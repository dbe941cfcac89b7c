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

function sheetOf(root: Element): Sheet {
  const items = itemsOf(root);
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
