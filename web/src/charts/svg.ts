/** A paper that takes what a canvas takes and writes SVG: each rectangle a real one. Pure. It knows the part of
 * CanvasRenderingContext2D that the page's pictures use; what it does not know is missing, not silent.
 */

/** More shapes than somebody wants to open in a slide: the picture is embedded as an image instead. */
export class TooManyShapes extends Error {
  override name = 'TooManyShapes';
}

interface State {
  fillStyle: string;
  strokeStyle: string;
  lineWidth: number;
  globalAlpha: number;
  font: string;
  textAlign: string;
  textBaseline: string;
  x: number;
  y: number;
  turn: number;
  /** groups that a clip opened */
  groups: number;
}

const PLAIN: State = {
  fillStyle: '#000', strokeStyle: '#000', lineWidth: 1, globalAlpha: 1, font: '10px sans-serif', textAlign: 'start', textBaseline: 'alphabetic',
  x: 0, y: 0, turn: 0, groups: 0,
};

export class SvgPaper {
  fillStyle = PLAIN.fillStyle;
  strokeStyle = PLAIN.strokeStyle;
  lineWidth = PLAIN.lineWidth;
  globalAlpha = PLAIN.globalAlpha;
  font = PLAIN.font;
  textAlign = PLAIN.textAlign;
  textBaseline = PLAIN.textBaseline;
  imageSmoothingEnabled = true;
  private readonly out: string[] = [];
  private readonly clips: string[] = [];
  private readonly stack: State[] = [];
  private path = '';
  private x = 0;
  private y = 0;
  private turn = 0;
  private groups = 0;
  shapes = 0;

  /** `most`: shapes before it gives up; `prefix`: of its ids, so that several stand in one document */
  constructor(
    private readonly most = 20_000,
    private readonly prefix = 'c',
  ) {}

  /** What was drawn, without a frame around it. */
  get body(): string {
    const clips = this.clips.length ? `<defs>${this.clips.join('')}</defs>` : '';
    return clips + this.out.join('') + '</g>'.repeat(this.groups + this.stack.reduce((sum, state) => sum + state.groups, 0));
  }

  get clipCount(): number {
    return this.clips.length;
  }

  save(): void {
    const { fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, x, y, turn, groups } = this;
    this.stack.push({ fillStyle, strokeStyle, lineWidth, globalAlpha, font, textAlign, textBaseline, x, y, turn, groups });
    this.groups = 0;
  }

  restore(): void {
    const state = this.stack.pop();
    if (!state) return;
    for (let i = 0; i < this.groups; i++) this.out.push('</g>');
    Object.assign(this, state);
  }

  translate(x: number, y: number): void {
    this.x += x;
    this.y += y;
  }

  /** In degrees, about a point: for text alone. */
  turned(degrees: number): void {
    this.turn = degrees;
  }

  /** A fresh paper is clear. */
  clearRect(): void {}

  fillRect(x: number, y: number, width: number, height: number): void {
    if (width <= 0 || height <= 0) return;
    this.add(`<rect ${this.box(x, y, width, height)} ${paint('fill', this.fillStyle, this.globalAlpha)}/>`);
  }

  strokeRect(x: number, y: number, width: number, height: number): void {
    this.add(`<rect ${this.box(x, y, width, height)} fill="none" ${this.pen()}/>`);
  }

  roundRect(x: number, y: number, width: number, height: number, radius: number): void {
    this.add(`<rect ${this.box(x, y, width, height)} rx="${fixed(radius)}" ${paint('fill', this.fillStyle, this.globalAlpha)}/>`);
  }

  beginPath(): void {
    this.path = '';
  }

  moveTo(x: number, y: number): void {
    this.path += `M${fixed(x + this.x)} ${fixed(y + this.y)}`;
  }

  lineTo(x: number, y: number): void {
    this.path += `L${fixed(x + this.x)} ${fixed(y + this.y)}`;
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.moveTo(x, y);
    this.path += `h${fixed(width)}v${fixed(height)}h${fixed(-width)}z`;
  }

  arc(x: number, y: number, radius: number, from = 0, to = 2 * Math.PI): void {
    const at = (angle: number): string => `${fixed(x + this.x + radius * Math.cos(angle))} ${fixed(y + this.y + radius * Math.sin(angle))}`;
    const half = (from + to) / 2;
    const r = fixed(radius);
    this.path += `M${at(from)}A${r} ${r} 0 0 1 ${at(half)}A${r} ${r} 0 0 1 ${at(to)}`;
  }

  closePath(): void {
    this.path += 'z';
  }

  fill(): void {
    if (this.path) this.add(`<path d="${this.path}" ${paint('fill', this.fillStyle, this.globalAlpha)}/>`);
  }

  stroke(): void {
    if (this.path) this.add(`<path d="${this.path}" fill="none" ${this.pen()}/>`);
  }

  clip(): void {
    const id = `${this.prefix}${this.clips.length}`;
    this.clips.push(`<clipPath id="${id}"><path d="${this.path}"/></clipPath>`);
    this.out.push(`<g clip-path="url(#${id})">`);
    this.groups++;
  }

  fillText(text: string, x: number, y: number): void {
    const { size, family, weight, style } = readFont(this.font);
    const anchor = this.textAlign === 'center' ? 'middle' : this.textAlign === 'end' || this.textAlign === 'right' ? 'end' : 'start';
    // baselines by arithmetic: what reads SVG does not agree on dominant-baseline
    const drop = this.textBaseline === 'middle' ? size * 0.35 : this.textBaseline === 'top' || this.textBaseline === 'hanging' ? size * 0.8 : this.textBaseline === 'bottom' ? -size * 0.2 : 0;
    const [px, py] = [fixed(x + this.x), fixed(y + this.y + (this.turn ? 0 : drop))];
    const turn = this.turn ? ` transform="rotate(${this.turn} ${px} ${py})${drop ? ` translate(0 ${fixed(drop)})` : ''}"` : '';
    const look = `${weight === '400' || weight === 'normal' ? '' : ` font-weight="${escape(weight)}"`}${style === 'normal' ? '' : ` font-style="${escape(style)}"`}${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}`;
    this.add(`<text x="${px}" y="${py}"${turn} font-family="${escape(family)}" font-size="${fixed(size)}"${look} xml:space="preserve" ${paint('fill', this.fillStyle, this.globalAlpha)}>${escape(text)}</text>`);
  }

  /** `href`: a data address */
  image(href: string, x: number, y: number, width: number, height: number): void {
    this.add(`<image ${this.box(x, y, width, height)} preserveAspectRatio="none" image-rendering="pixelated" href="${escape(href)}"/>`);
  }

  /** A canvas of pixels: one rectangle for each, as long as there are few. */
  drawImage(source: HTMLCanvasElement, x: number, y: number, width: number, height: number): void {
    const pixels = source.getContext('2d')?.getImageData(0, 0, source.width, source.height).data;
    if (!pixels) return;
    const [w, h] = [width / source.width, height / source.height];
    for (let row = 0; row < source.height; row++) {
      for (let col = 0; col < source.width; col++) {
        const [r, g, b, a = 0] = pixels.subarray(4 * (row * source.width + col));
        if (!a) continue;
        this.fillStyle = `rgb(${r}, ${g}, ${b})`;
        this.fillRect(x + col * w, y + row * h, w, h);
      }
    }
  }

  /** Finished marks: a picture within this one, or a path of an inline drawing. */
  add(mark: string, shapes = 1): void {
    this.shapes += shapes;
    if (this.shapes > this.most) throw new TooManyShapes();
    this.out.push(mark);
  }

  private box(x: number, y: number, width: number, height: number): string {
    return `x="${fixed(x + this.x)}" y="${fixed(y + this.y)}" width="${fixed(width)}" height="${fixed(height)}"`;
  }

  private pen(): string {
    return `${paint('stroke', this.strokeStyle, this.globalAlpha)} stroke-width="${fixed(this.lineWidth)}"`;
  }
}

/** A whole document. */
export function svgDocument(body: string, width: number, height: number, title: string, description: string): string {
  const size = `width="${fixed(width)}" height="${fixed(height)}" viewBox="0 0 ${fixed(width)} ${fixed(height)}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}><title>${escape(title)}</title><desc>${escape(description)}</desc>${body}</svg>\n`;
}

export function escape(text: string): string {
  // XML has no control characters, not even written as numbers
  const clean = text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '�'); // eslint-disable-line no-control-regex
  return clean.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** An ink in SVG's words; alpha goes into its opacity. */
export function paint(what: 'fill' | 'stroke', colour: string, alpha = 1): string {
  const found = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)(?:[\s,/]+([\d.]+%?))?\s*\)$/.exec(colour);
  if (!found) return `${what}="${escape(colour)}"${alpha < 1 ? ` ${what}-opacity="${fixed(alpha, 3)}"` : ''}`;
  const [, r, g, b, own = '1'] = found;
  const opacity = (own.endsWith('%') ? Number(own.slice(0, -1)) / 100 : Number(own)) * alpha;
  const hex = [r, g, b].map((each) => Math.round(Number(each)).toString(16).padStart(2, '0')).join('');
  return `${what}="#${hex}"${opacity < 1 ? ` ${what}-opacity="${fixed(opacity, 3)}"` : ''}`;
}

export function readFont(font: string): { size: number; family: string; weight: string; style: string } {
  const found = /^(?:(italic|oblique|normal)\s+)?(?:([a-z]+|\d{3})\s+)?([\d.]+)px(?:\/\S+)?\s+(.+)$/.exec(font);
  return { style: found?.[1] ?? 'normal', weight: found?.[2] ?? '400', size: Number(found?.[3] ?? 10), family: found?.[4] ?? 'sans-serif' };
}

export function fixed(value: number, digits = 2): string {
  return String(Number(value.toFixed(digits)));
}
