import { expect, it } from 'vitest';
import { csvOf, csvOfRows } from './csv';
import { paintMatrix } from './paint';
import { fileName } from './save';
import { shareScale, signedScale, type Palette } from './scales';
import { escape, paint, readFont, svgDocument, SvgPaper, TooManyShapes } from './svg';

const palette = { ground: 'rgb(250, 250, 250)', ink: 'rgb(0, 0, 0)', muted: 'rgb(90, 90, 90)', rule: 'rgb(220, 220, 220)', negative: 'rgb(0, 0, 255)', positive: 'rgb(255, 0, 0)', share: 'rgb(75, 42, 134)', lit: 'rgb(1, 2, 3)' } as Palette;
const rectangles = (body: string): { x: number; y: number; width: number; height: number; fill: string }[] =>
  [...body.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="(#\w+)"\/>/g)].map(([, x, y, width, height, fill = '']) => ({ x: Number(x), y: Number(y), width: Number(width), height: Number(height), fill }));

it('a matrix is one rectangle for each cell, in its place and colour', () => {
  const paper = new SvgPaper();
  paintMatrix(paper as unknown as CanvasRenderingContext2D, { rows: 2, cols: 3, width: 60, rowHeight: 20, inset: 2 }, [1, -1, 0, 0.5, -0.5, 1], { scale: signedScale(palette, 1), palette });
  const found = rectangles(paper.body);
  expect(found).toHaveLength(6);
  expect(found[0]).toEqual({ x: 0, y: 2, width: 19, height: 16, fill: '#ff0000' });
  expect(found[1]).toMatchObject({ x: 20, fill: '#0000ff' });
  expect(found[3]).toMatchObject({ x: 0, y: 22 });
  expect(found[2]?.fill).toBe('#fafafa');
});

it('hatched cells are clipped, and every group is closed', () => {
  const paper = new SvgPaper(100, 'a');
  paintMatrix(paper as unknown as CanvasRenderingContext2D, { rows: 1, cols: 2, width: 40, rowHeight: 20, inset: 0 }, [0.5, -Infinity], { scale: shareScale(palette), palette });
  const { body } = paper;
  expect(body).toContain('<clipPath id="a0">');
  expect(body).toContain('clip-path="url(#a0)"');
  expect(body.match(/<g\b/g)?.length).toBe(body.match(/<\/g>/g)?.length);
});

it('gives up before it is too much to open', () => {
  const paper = new SvgPaper(5);
  const fill = (): void => {
    for (let i = 0; i < 6; i++) paper.fillRect(i, 0, 1, 1);
  };
  expect(fill).toThrow(TooManyShapes);
});

it('text keeps its spaces and cannot become markup', () => {
  const paper = new SvgPaper();
  [paper.font, paper.textBaseline, paper.textAlign] = ['600 12px "DejaVu Sans Mono", monospace', 'middle', 'right'];
  paper.fillText('<script>&"\u0007', 10, 20);
  expect(paper.body).toBe('<text x="10" y="24.2" font-family="&quot;DejaVu Sans Mono&quot;, monospace" font-size="12" font-weight="600" text-anchor="end" xml:space="preserve" fill="#000">&lt;script&gt;&amp;&quot;�</text>');
  expect(svgDocument('', 10.123, 5, 'a < b', '')).toContain('width="10.12" height="5" viewBox="0 0 10.12 5"><title>a &lt; b</title>');
  expect(escape('a\u0000b')).toBe('a�b');
});

it('reads colours and fonts as the browser writes them', () => {
  expect(paint('fill', 'rgb(255, 0, 16)')).toBe('fill="#ff0010"');
  expect(paint('stroke', 'rgba(0, 0, 0, 0.5)', 0.5)).toBe('stroke="#000000" stroke-opacity="0.25"');
  expect(paint('fill', 'color(srgb 1 0 0)')).toBe('fill="color(srgb 1 0 0)"');
  expect(readFont('italic 600 13px system-ui, sans-serif')).toEqual({ style: 'italic', weight: '600', size: 13, family: 'system-ui, sans-serif' });
  expect(readFont('normal 400 12px/20px Arial')).toEqual({ style: 'normal', weight: '400', size: 12, family: 'Arial' });
});

it('a table keeps every digit, and a name cannot become a formula', () => {
  const data = Float32Array.from([0.1, -3.4e-7, -Infinity, NaN, 1, 22989.5]);
  expect(csvOf({ data, rows: 2, cols: 3, rowNames: ['=1+1', 'a "b", c'], colNames: ['x', '-y', '-3'] })).toBe(
    ",x,'-y,-3\r\n'=1+1,0.1,-3.4e-7,-inf\r\n\"a \"\"b\"\", c\",,1,22989.5\r\n",
  );
  const many = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i) * 10 ** (i % 9 - 4));
  const back = csvOf({ data: many, rows: 5, cols: 10 }).trim().split('\r\n').slice(1).flatMap((line) => line.split(',').slice(1).map((cell) => Math.fround(Number(cell))));
  expect(back).toEqual([...many]);
});

it('a table of the document becomes numbers that programs read', () => {
  expect(csvOfRows([['key', 'q·k'], ['·robots', '−21.6'], ['The', '23,000'], ['x', '−∞'], ['=a', '40%']])).toBe("key,q·k\r\n·robots,-21.6\r\nThe,23000\r\nx,-inf\r\n'=a,40%\r\n");
});

it('files are called by what they show', () => {
  expect(fileName('Pattern of head 3, “·peace”', 'svg')).toBe('cutaway-pattern-of-head-3-peace.svg');
  expect(fileName('机器人', 'png')).toBe('cutaway-picture.png');
});
