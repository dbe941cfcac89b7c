/** A part of the page as a picture: its text, boxes, drawings and canvases, onto a paper that writes SVG or onto a canvas.
 *
 * It reads what the browser laid out, so that a picture taken away looks as it stands. Canvases are painted again:
 * in SVG as real rectangles, as long as these can be opened (`SvgPaper`'s `most`), else as an image.
 */
import { painterOf } from '../../charts/paint';
import { paint as ink, SvgPaper, TooManyShapes } from '../../charts/svg';
import { drawings } from './drawings';
import { textRuns } from './runs';

export interface Extent {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Item {
  box: Extent;
  /** onto SVG, in the picture's own coordinates */
  svg: (paper: SvgPaper, left: number, top: number) => void;
  canvas: (ctx: CanvasRenderingContext2D, left: number, top: number, scale: number) => void;
}

const CELLS = 20_000;
/** not part of the picture: its own buttons, what is hidden, what only screen readers hear */
const LEFT_OUT = '[data-take="off"], .unseen, script, style, input, select, dialog, .katex-mathml';

/** what scrolls within a picture: of it, what is in sight */
const WINDOW = '[data-take="in-sight"]';

export function itemsOf(root: Element): Item[] {
  let items: Item[] = [];
  let clips = 0;
  const walk = (element: Element, opacity: number): void => {
    if (element.matches(LEFT_OUT)) return;
    const style = getComputedStyle(element);
    if (style.display === 'none') return;
    const own = opacity * Number(style.opacity || 1);
    if (own <= 0.01) return;
    const seen = style.visibility === 'visible';
    if (element instanceof HTMLCanvasElement) {
      if (seen) items.push(canvasItem(element, own, `p${clips++}-`));
      return;
    }
    if (element instanceof SVGSVGElement) {
      if (seen) items.push(...drawings(element, own));
      return;
    }
    if (seen) items.push(...boxItems(element, style, own), ...textRuns(element, style, own));
    const outside = items;
    const inside = element.matches(WINDOW);
    if (inside) items = [];
    for (const child of element.children) walk(child, own);
    if (inside) items = [...outside, ...items.flatMap((item) => inSight(item, element.getBoundingClientRect()))];
  };
  walk(root, 1);
  return items;
}

/** The part of it that lies in a window; nothing where none does. */
export function inSight(item: Item, window: Extent): Item[] {
  const box = {
    left: Math.max(item.box.left, window.left), top: Math.max(item.box.top, window.top),
    right: Math.min(item.box.right, window.right), bottom: Math.min(item.box.bottom, window.bottom),
  };
  if (box.right <= box.left || box.bottom <= box.top) return [];
  const { left: x, top: y, right, bottom } = window;
  if (box.left === item.box.left && box.top === item.box.top && box.right === item.box.right && box.bottom === item.box.bottom) return [item];
  const within = <Paper extends SvgPaper | CanvasRenderingContext2D>(paper: Paper, left: number, top: number, draw: () => void): void => {
    paper.save();
    paper.beginPath();
    paper.rect(x - left, y - top, right - x, bottom - y);
    paper.clip();
    draw();
    paper.restore();
  };
  return [{
    box,
    svg: (paper, left, top) => within(paper, left, top, () => item.svg(paper, left, top)),
    canvas: (ctx, left, top, scale) => within(ctx, left, top, () => item.canvas(ctx, left, top, scale)),
  }];
}

function boxItems(element: Element, style: CSSStyleDeclaration, opacity: number): Item[] {
  const rect = element.getBoundingClientRect();
  if (rect.width <= 0 || rect.height <= 0) return [];
  const items: Item[] = [];
  const filled = (box: Extent, colour: string, radius = 0): void => {
    if (clear(colour) || box.right <= box.left || box.bottom <= box.top) return;
    items.push({
      box,
      svg: (paper, left, top) => {
        [paper.fillStyle, paper.globalAlpha] = [colour, opacity];
        if (radius) paper.roundRect(box.left - left, box.top - top, box.right - box.left, box.bottom - box.top, radius);
        else paper.fillRect(box.left - left, box.top - top, box.right - box.left, box.bottom - box.top);
      },
      canvas: (ctx, left, top) => {
        [ctx.fillStyle, ctx.globalAlpha] = [colour, opacity];
        ctx.beginPath();
        ctx.roundRect(box.left - left, box.top - top, box.right - box.left, box.bottom - box.top, radius);
        ctx.fill();
      },
    });
  };
  const { left, top, right, bottom } = rect;
  filled({ left, top, right, bottom }, style.backgroundColor, Math.min(parseFloat(style.borderTopLeftRadius) || 0, rect.width / 2, rect.height / 2));
  const edge = (side: 'Top' | 'Right' | 'Bottom' | 'Left'): { width: number; colour: string } => {
    const shown = style[`border${side}Style`] !== 'none';
    return { width: shown ? parseFloat(style[`border${side}Width`]) || 0 : 0, colour: style[`border${side}Color`] };
  };
  const [t, r, b, l] = [edge('Top'), edge('Right'), edge('Bottom'), edge('Left')];
  filled({ left, top, right, bottom: top + t.width }, t.colour);
  filled({ left, top: bottom - b.width, right, bottom }, b.colour);
  filled({ left, top: top + t.width, right: left + l.width, bottom: bottom - b.width }, l.colour);
  filled({ left: right - r.width, top: top + t.width, right, bottom: bottom - b.width }, r.colour);
  return items;
}

function canvasItem(canvas: HTMLCanvasElement, opacity: number, prefix: string): Item {
  const rect = canvas.getBoundingClientRect();
  const painter = painterOf(canvas);
  const { left: x, top: y, width, height } = rect;
  return {
    box: { left: x, top: y, right: rect.right, bottom: rect.bottom },
    svg: (paper, left, top) => {
      const inner = new SvgPaper(CELLS, prefix);
      const open = `<g transform="translate(${x - left} ${y - top})"${opacity < 1 ? ` opacity="${opacity}"` : ''}>`;
      if (painter) {
        try {
          painter(inner as unknown as CanvasRenderingContext2D);
          paper.add(`${open}${inner.body}</g>`, inner.shapes);
          return;
        } catch (error) {
          if (!(error instanceof TooManyShapes)) throw error;
        }
      }
      paper.image(sharper(canvas, width, height).toDataURL('image/png'), x - left, y - top, width, height);
    },
    canvas: (ctx, left, top, scale) => {
      ctx.globalAlpha = opacity;
      ctx.imageSmoothingEnabled = false;
      ctx.drawImage(sharper(canvas, width, height, scale), x - left, y - top, width, height);
    },
  };
}

/** The same picture with more pixels; as it stands where nobody knows how to paint it again. */
function sharper(canvas: HTMLCanvasElement, width: number, height: number, scale = 2): HTMLCanvasElement {
  const painter = painterOf(canvas);
  if (!painter) return canvas;
  const other = document.createElement('canvas');
  other.width = Math.max(1, Math.round(width * scale));
  other.height = Math.max(1, Math.round(height * scale));
  const ctx = other.getContext('2d');
  if (!ctx) return canvas;
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  painter(ctx);
  return other;
}

export function clear(colour: string): boolean {
  return colour === 'transparent' || /,\s*0\)$|\/\s*0\)$/.test(colour);
}

export { ink };
