/** Painting the map: all thumbnails into one canvas. */
import type { ColourScale, Palette } from '../../charts/scales';
import { boxOf, HEADER, NUMBERS, type Layout, type Place, type Thumb } from './map';

/** The hatched strip that stands for the first key. */
export function stripWidth(side: number): number {
  return side >= 24 ? 4 : 2;
}

export function paintMap(
  ctx: CanvasRenderingContext2D, layout: Layout, thumb: (place: Place) => Thumb | null, scale: ColourScale, aside: boolean,
  look: { palette: Palette & { k: string }; font: string },
): void {
  const { palette } = look;
  ctx.clearRect(0, 0, layout.width, layout.height);
  ctx.imageSmoothingEnabled = false;
  ctx.font = `12px ${look.font}`;
  ctx.fillStyle = palette.muted;
  numbers(ctx, layout, palette.k);
  const tile = document.createElement('canvas');
  const strip = aside ? stripWidth(layout.side) : 0;
  const hatch: [number, number, number, number][] = [];
  for (let block = 0; block < layout.nLayer; block++) {
    for (let head = 0; head < layout.nHead; head++) {
      const { x, y, side } = boxOf(layout, { block, head });
      const own = thumb({ block, head });
      if (!own) continue;
      paintTile(tile, own, scale);
      ctx.drawImage(tile, x + strip, y, side - strip, side);
      for (let at = 1; at < side; at += 3) {
        hatch.push([x, y + at, x + strip, y + Math.max(0, at - strip)]);
      }
    }
  }
  if (aside) {
    ctx.strokeStyle = palette.muted;
    ctx.lineWidth = 0.75;
    ctx.beginPath();
    for (const [x, y, toX, toY] of hatch) {
      ctx.moveTo(x, y);
      ctx.lineTo(toX, toY);
    }
    ctx.stroke();
  }
  ctx.strokeStyle = palette.rule;
  ctx.lineWidth = 1;
  for (let block = 0; block < layout.nLayer; block++) {
    for (let head = 0; head < layout.nHead; head++) {
      const { x, y, side } = boxOf(layout, { block, head });
      ctx.strokeRect(x - 0.5, y - 0.5, side + 1, side + 1);
    }
  }
}

function paintTile(tile: HTMLCanvasElement, thumb: Thumb, scale: ColourScale): void {
  const { rows, cols } = thumb;
  tile.width = Math.max(1, cols);
  tile.height = Math.max(1, rows);
  const ctx = tile.getContext('2d');
  if (!ctx || !rows || !cols) return;
  const image = ctx.createImageData(cols, rows);
  for (let i = 0; i < rows * cols; i++) {
    const [r, g, b] = scale.rgb(thumb.data[i] ?? 0);
    image.data.set([r, g, b, 255], 4 * i);
  }
  ctx.putImageData(image, 0, 0);
}

/** Heads above, bracketed over the key/value head that they share; blocks at the left. */
function numbers(ctx: CanvasRenderingContext2D, layout: Layout, bracket: string): void {
  const every = Math.max(1, Math.ceil(20 / layout.pitch));
  for (let column = 0; column < layout.columns; column++) {
    const first = column * layout.perColumn;
    if (first >= layout.nLayer) return;
    ctx.textAlign = 'center';
    for (let head = 0; head < layout.nHead; head++) {
      const { x, side } = boxOf(layout, { block: first, head });
      if (head % every === 0) ctx.fillText(String(head), x + side / 2, HEADER - 9);
      if (layout.perGroup > 1 && head % layout.perGroup === 0) {
        const end = boxOf(layout, { block: first, head: head + layout.perGroup - 1 });
        const text = ctx.fillStyle;
        ctx.fillStyle = bracket;
        ctx.fillRect(x, HEADER - 5, end.x + end.side - x, 2);
        ctx.fillStyle = text;
      }
    }
    ctx.textAlign = 'right';
    for (let block = first; block < Math.min(layout.nLayer, first + layout.perColumn); block++) {
      const { x, y, side } = boxOf(layout, { block, head: 0 });
      if ((block - first) % every === 0) ctx.fillText(String(block), x - (NUMBERS - 20), y + side / 2 + 4);
    }
  }
}

export function frame(ctx: CanvasRenderingContext2D, layout: Layout, place: Place, colour: string, weight: number): void {
  const { x, y, side } = boxOf(layout, place);
  ctx.strokeStyle = colour;
  ctx.lineWidth = weight;
  ctx.strokeRect(x - 1, y - 1, side + 2, side + 2);
}
