/** The text of an element as the browser broke it into lines, each with its place and font. */
import type { SvgPaper } from '../../charts/svg';
import type { Item } from './picture';

interface Line {
  text: string;
  rect: DOMRect;
}

export function textRuns(element: Element, style: CSSStyleDeclaration, opacity: number): Item[] {
  const items: Item[] = [];
  for (const node of element.childNodes) {
    if (node.nodeType !== Node.TEXT_NODE || !node.textContent?.trim()) continue;
    for (const line of linesOf(node as Text, element, style)) items.push(run(line, element, style, opacity));
  }
  return items;
}

function linesOf(node: Text, element: Element, style: CSSStyleDeclaration): Line[] {
  const range = document.createRange();
  range.selectNodeContents(node);
  const rects = [...range.getClientRects()].filter((rect) => rect.width > 0 && rect.height > 0);
  const [first] = rects;
  if (!first) return [];
  const kept = style.whiteSpaceCollapse === 'preserve' || style.whiteSpace.startsWith('pre');
  const text = (part: string): string => (kept ? part : part.replace(/\s+/g, ' '));
  const cutAt = style.overflow !== 'visible' && style.textOverflow === 'ellipsis' && element.scrollWidth > element.clientWidth ? element.getBoundingClientRect().right : Infinity;
  if (rects.length === 1 && cutAt === Infinity) return [{ text: text(node.data), rect: first }];
  // letter by letter: which line each stands on, and which of them are cut off
  const lines: Line[] = [];
  let at = 0;
  for (const letter of node.data) {
    range.setStart(node, at);
    range.setEnd(node, at + letter.length);
    at += letter.length;
    const rect = range.getBoundingClientRect();
    if (!rect.width && !letter.trim()) continue;
    const last = lines.at(-1);
    if (rect.right > cutAt) {
      if (last && !last.text.endsWith('…')) last.text = `${[...last.text].slice(0, -1).join('')}…`;
      break;
    }
    if (last && Math.abs(last.rect.top - rect.top) < rect.height / 2) {
      last.text += letter;
      last.rect = new DOMRect(last.rect.left, last.rect.top, rect.right - last.rect.left, last.rect.height);
    } else {
      lines.push({ text: letter, rect });
    }
  }
  return lines.map((line) => ({ ...line, text: text(line.text).replace(/\s+$/, '') })).filter((line) => line.text);
}

function run({ text, rect }: Line, element: Element, style: CSSStyleDeclaration, opacity: number): Item {
  const font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const size = parseFloat(style.fontSize);
  const standing = style.writingMode.startsWith('vertical');
  const up = standing && turnedRound(element);
  const { left: l, top: t, right, bottom } = rect;
  const draw = (paper: Pick<SvgPaper, 'fillText'> & { fillStyle: unknown; globalAlpha: number; font: string; textAlign: string; textBaseline: string }, x: number, y: number): void => {
    [paper.fillStyle, paper.globalAlpha, paper.font, paper.textAlign, paper.textBaseline] = [style.color, opacity, font, 'start', 'middle'];
    paper.fillText(text, x, y);
  };
  return {
    box: { left: l, top: t, right, bottom },
    svg: (paper, left, top) => {
      if (!standing) {
        // a box may be taller than its letters: they stand in the middle of it
        draw(paper, l - left, (t + bottom) / 2 - top);
        return;
      }
      paper.save();
      paper.turned(up ? -90 : 90);
      draw(paper, (l + right) / 2 - left, (up ? bottom : t) - top);
      paper.restore();
    },
    canvas: (ctx, left, top) => {
      ctx.save();
      ctx.translate((standing ? (l + right) / 2 : l) - left, (standing ? (up ? bottom : t) : (t + bottom) / 2) - top);
      if (standing) ctx.rotate(up ? -Math.PI / 2 : Math.PI / 2);
      // the same letters, a little lower than the middle of the em box, as in SVG
      draw(ctx as never, 0, (size * 0.35 - middleDrop(ctx, font)) || 0);
      ctx.restore();
    },
  };
}

/** How far below the middle of its em a canvas puts the baseline. */
function middleDrop(ctx: CanvasRenderingContext2D, font: string): number {
  ctx.font = font;
  ctx.textBaseline = 'middle';
  const { alphabeticBaseline } = ctx.measureText('x');
  return -alphabeticBaseline;
}

/** Rotated by half a turn, so that standing letters read upwards. */
function turnedRound(element: Element): boolean {
  for (let at: Element | null = element; at; at = at.parentElement) {
    const { transform } = getComputedStyle(at);
    if (transform.startsWith('matrix(-1')) return true;
    if (at.tagName === 'FIGURE') return false;
  }
  return false;
}
