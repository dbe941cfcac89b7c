/** What an inline <svg> draws, as paths in the window's coordinates. */
import { escape, fixed, paint, type SvgPaper } from '../../charts/svg';
import { clear, type Extent, type Item } from './picture';

const SHAPES = 'path, line, rect, circle, ellipse, polyline, polygon';

export function drawings(svg: SVGSVGElement, opacity: number): Item[] {
  const items: Item[] = [];
  for (const element of svg.querySelectorAll<SVGGraphicsElement>(`${SHAPES}, text`)) {
    if (element.closest('defs, clipPath, .unseen')) continue;
    const style = getComputedStyle(element);
    if (style.display === 'none' || style.visibility !== 'visible') continue;
    const matrix = element.getScreenCTM();
    if (!matrix) continue;
    const { left, top, right, bottom } = element.getBoundingClientRect();
    const box: Extent = { left, top, right, bottom };
    const own = opacity * ancestry(element, svg);
    if (element instanceof SVGTextContentElement) {
      items.push(...words(element, style, matrix, box, own));
      continue;
    }
    const d = pathOf(element);
    if (d) items.push(shape(d, style, matrix, box, own));
  }
  return items;
}

function ancestry(element: Element, svg: SVGSVGElement): number {
  let opacity = 1;
  for (let at: Element | null = element; at && at !== svg; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity || 1);
  return opacity;
}

function shape(d: string, style: CSSStyleDeclaration, m: DOMMatrix, box: Extent, opacity: number): Item {
  const fill = style.fill === 'none' || clear(style.fill) ? null : style.fill;
  const stroke = style.stroke === 'none' || clear(style.stroke) ? null : style.stroke;
  const width = parseFloat(style.strokeWidth) || 1;
  const [fillOpacity, strokeOpacity] = [opacity * Number(style.fillOpacity || 1), opacity * Number(style.strokeOpacity || 1)];
  const dash = style.strokeDasharray === 'none' ? '' : style.strokeDasharray.replace(/px/g, '');
  return {
    box,
    svg: (paper: SvgPaper, left, top) => {
      const at = `matrix(${[m.a, m.b, m.c, m.d, m.e - left, m.f - top].map((each) => fixed(each, 4)).join(' ')})`;
      const pen = stroke ? `${paint('stroke', stroke, strokeOpacity)} stroke-width="${fixed(width)}"${dash ? ` stroke-dasharray="${escape(dash)}"` : ''}` : '';
      paper.add(`<path transform="${at}" d="${escape(d)}" ${fill ? paint('fill', fill, fillOpacity) : 'fill="none"'} ${pen}/>`);
    },
    canvas: (ctx, left, top) => {
      const path = new Path2D();
      path.addPath(new Path2D(d), new DOMMatrix([m.a, m.b, m.c, m.d, m.e - left, m.f - top]));
      if (fill) {
        [ctx.fillStyle, ctx.globalAlpha] = [fill, fillOpacity];
        ctx.fill(path);
      }
      if (stroke) {
        ctx.save();
        [ctx.strokeStyle, ctx.globalAlpha, ctx.lineWidth] = [stroke, strokeOpacity, width * Math.abs(m.a || 1)];
        ctx.setLineDash(dash ? dash.split(/[\s,]+/).map(Number) : []);
        ctx.stroke(path);
        ctx.restore();
      }
    },
  };
}

function words(element: SVGTextContentElement, style: CSSStyleDeclaration, m: DOMMatrix, box: Extent, opacity: number): Item[] {
  const text = element.textContent ?? '';
  if (!text.trim() || !element.getNumberOfChars()) return [];
  const start = element.getStartPositionOfChar(0).matrixTransform(m);
  const font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const turn = (Math.atan2(m.b, m.a) * 180) / Math.PI + element.getRotationOfChar(0);
  return [{
    box,
    svg: (paper, left, top) => {
      paper.save();
      [paper.fillStyle, paper.globalAlpha, paper.font, paper.textAlign, paper.textBaseline] = [style.fill, opacity, font, 'start', 'alphabetic'];
      if (Math.abs(turn) > 0.1) paper.turned(Number(turn.toFixed(1)));
      paper.fillText(text, start.x - left, start.y - top);
      paper.restore();
    },
    canvas: (ctx, left, top) => {
      ctx.save();
      ctx.translate(start.x - left, start.y - top);
      ctx.rotate((turn * Math.PI) / 180);
      [ctx.fillStyle, ctx.globalAlpha, ctx.font, ctx.textAlign, ctx.textBaseline] = [style.fill, opacity, font, 'start', 'alphabetic'];
      ctx.fillText(text, 0, 0);
      ctx.restore();
    },
  }];
}

function pathOf(element: SVGGraphicsElement): string {
  const number = (name: string): number => Number.parseFloat(element.getAttribute(name) ?? '0') || 0;
  switch (element.tagName) {
    case 'path': return element.getAttribute('d') ?? '';
    case 'line': return `M${number('x1')} ${number('y1')}L${number('x2')} ${number('y2')}`;
    case 'rect': return `M${number('x')} ${number('y')}h${number('width')}v${number('height')}h${-number('width')}z`;
    case 'circle': case 'ellipse': {
      const [x, y, rx, ry] = [number('cx'), number('cy'), number(element.tagName === 'circle' ? 'r' : 'rx'), number(element.tagName === 'circle' ? 'r' : 'ry')];
      return `M${x - rx} ${y}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0z`;
    }
    case 'polyline': case 'polygon': return `M${element.getAttribute('points') ?? ''}${element.tagName === 'polygon' ? 'z' : ''}`;
    default: return '';
  }
}
