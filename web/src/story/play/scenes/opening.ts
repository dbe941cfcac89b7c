/** Text, pieces, vectors, learned positions. */
import { percent } from '../../../charts/format';
import { plural } from '../../stops';
import { between, evenly, mix, type Mark, type Scene } from '../frame';
import { flow, shortened, textWidth, type Geometry } from '../geometry';
import { cells, letter, number, pieceColumn, rect, stream, text } from '../marks';
import type { Material } from '../material';

const LARGE = 16;
const SMALL = 12;

export function opening(m: Material, g: Geometry): Scene[] {
  const { sites, optional, config } = m;
  const last = m.pieces.at(-1);
  const learned = optional.pos_embed;
  const size = g.wide ? LARGE : 14;
  // where pieces are left out, the first says so
  const gap = (m.pieces[1]?.pos ?? 1) > 1;
  const texts = m.pieces.map((piece, i) => (gap && i === 0 ? `${piece.display} … ` : piece.display));
  const joined = flow(texts, size, g.width, 2, g.top + 12);
  const apart = flow(texts, size, g.width, 2, g.top + 12, 12);
  const inRow = m.pieces.map((piece, i) => {
    const shown = shortened(piece.display, g.letters);
    return { x: g.pieces - textWidth(shown, SMALL), y: g.middle(i) };
  });

  const running = (places: { x: number; y: number }[], opacity = 1): Mark[] =>
    m.pieces.map((piece, i) => text(`run ${piece.pos}`, places[i]?.x ?? 0, places[i]?.y ?? 0, texts[i] ?? '', { ink: 'ink', mono: true, size, opacity }));
  const boxes = (places: { x: number; y: number; width?: number }[], opacity: number): Mark[] =>
    m.pieces.map((piece, i) => {
      const width = textWidth(texts[i] ?? '', size) + 6;
      return rect(`cut ${piece.pos}`, { x: (places[i]?.x ?? 0) - 3, y: (places[i]?.y ?? 0) - size * 0.75, width, height: size * 1.5 }, 'rule', { line: true, opacity });
    });
  const ids = (opacity: number): Mark[] =>
    m.pieces.map((piece, i) => text(`id ${piece.pos}`, g.stream.x, g.middle(i), String(piece.id), { mono: true, opacity }));

  const scenes: Scene[] = [
    {
      id: 'text', stop: 'text', title: 'A text', lasts: 1.6, main: null,
      words: ['It begins with what you wrote.', ...(m.pieces.length < m.nPos ? [' Of ', { count: m.nPos }, ' pieces these ', { count: m.pieces.length }, ' are followed.'] : [])],
      // what the film waits with, until it is played
      draw: () => running(joined),
    },
    {
      id: 'cut', stop: 'pieces', title: 'Cut into pieces', lasts: 1.6, main: null,
      words: ['It is cut into ', { count: m.nPos }, ` ${plural(m.nPos, 'piece')} that the model knows; a dot is a space.`],
      draw: (s) => {
        const p = between(s, 0, 1.2);
        const places = joined.map((from, i) => ({ x: mix(from.x, apart[i]?.x ?? 0, p), y: mix(from.y, apart[i]?.y ?? 0, p) }));
        return [...boxes(places, p), ...running(places)];
      },
    },
    {
      id: 'numbered', stop: 'pieces', title: 'Each piece is a number', lasts: 2, main: null,
      words: ['A piece is its number in a list of ', { count: config.n_vocab }, '. ', ...(last ? [{ piece: last.display }, ' is ', { count: last.id }, '.'] : [])],
      draw: (s) => {
        // the large pieces go to their rows, and their rows take over
        const p = between(s, 0, 1.2);
        const arrived = evenly(s, 0.9, 1.3);
        const places = apart.map((from, i) => ({ x: mix(from.x, inRow[i]?.x ?? 0, p), y: mix(from.y, inRow[i]?.y ?? 0, p) }));
        const rows = pieceColumn(m, g).map((mark) => ({ ...mark, opacity: mark.opacity * arrived }));
        return [...rows, ...boxes(places, 1 - p), ...running(places, 1 - arrived), ...ids(evenly(s, 1.2, 1.8))];
      },
    },
    {
      id: 'vectors', stop: 'vectors', title: 'Each number looks up a vector', lasts: 2.6, main: sites.embed,
      words: ['Row ', { count: m.pieces[m.row]?.id ?? 0 }, ' of the embedding table is ', { count: config.d_model }, ' numbers: what ', { piece: m.pieces[m.row]?.display ?? '' }, ' starts with.'],
      draw: (s) => [
        ...pieceColumn(m, g), ...ids(1 - evenly(s, 0, 0.6)),
        cells('stream', sites.embed, { ...g.stream, x: g.stream.x + 80 }, { to: g.stream, move: evenly(s, 0.2, 2.2), shown: evenly(s, 0.2, 2.2), order: 'rows' }),
        letter('stream', g.stream, g.wide ? 'embedding' : 'x', 'residual', evenly(s, 0.2, 0.8)),
      ],
    },
  ];
  if (learned) {
    const beside = { ...g.stream, x: g.stream.x + g.stream.width + (g.wide ? 32 : 12) };
    const first = m.streams[0] ?? sites.embed;
    scenes.push({
      id: 'positions', stop: 'position', title: 'Its place is added', lasts: 3, main: learned,
      words: ['A second table has a row for each position. It is added, number by number: ', { piece: m.pieces[m.row]?.display ?? '' }, ' stands at ', { count: m.pos }, '.'],
      draw: (s) => {
        const go = between(s, 1.4, 2.6);
        return [
          ...pieceColumn(m, g),
          cells('stream', sites.embed, g.stream, { next: first, mix: between(s, 2, 2.8) }),
          letter('stream', g.stream, g.wide ? 'stream' : 'x', 'residual'),
          cells('position', learned, beside, { shown: evenly(s, 0, 1), order: 'rows', to: g.stream, move: go, opacity: 1 - evenly(s, 2.2, 2.8) }),
          letter('position', beside, g.wide ? 'position' : 'p', 'residual', evenly(s, 0, 0.6) * (1 - go)),
        ];
      },
    });
  }
  return scenes;
}

/** What blocks `from` to below `to` do to the stream, quickly: for each the two lengths that it adds at the followed position. */
export function throughBlocks(m: Material, g: Geometry, from: number, to: number, stop: string): Scene | null {
  const n = to - from;
  if (n <= 0) return null;
  // in tenths, as the hand moves along the line
  const lasts = Math.max(1.4, Math.min(4, Math.round(n * 1.6) / 10));
  const { n_layer } = m.config;
  const x = g.a.x;
  const room = (g.wide ? g.sum.x + g.sum.width : g.width) - x;
  const pitch = Math.max(3, Math.min(18, Math.floor(room / n_layer)));
  const most = Math.max(...[...m.added.attn, ...m.added.mlp].filter(Number.isFinite), 1e-6);
  const half = g.wide ? 56 : 40;
  const base = 34 + half + 20;
  const words = n === 1 ? ['Block ', { count: from }] : ['Blocks ', { count: from }, ' to ', { count: to - 1 }];
  return {
    id: `blocks ${from} to ${to}`, stop, title: n === 1 ? 'One block' : `${n} blocks, quickly`, lasts, main: m.streams[to] ?? null,
    words: [...words, ': each adds to the stream by its attention (violet, up) and its MLP (ochre, down), at ', { piece: m.pieces[m.row]?.display ?? '' }, '.'],
    draw: (s) => {
      const depth = from + n * evenly(s, 0, lasts);
      const at = Math.min(to - 1, Math.floor(depth));
      const [here, there] = [m.streams[at], m.streams[at + 1]];
      if (!here || !there) return [];
      const marks: Mark[] = [...pieceColumn(m, g), ...stream(g, here, there, depth >= to ? 1 : depth - at)];
      for (let i = 0; i < n_layer; i++) {
        const opacity = i < from ? 0.25 : Math.max(0, Math.min(1, depth - i));
        const bar = { x: x + i * pitch, width: Math.max(2, pitch - 2) };
        const [up, down] = [m.added.attn[i] ?? NaN, m.added.mlp[i] ?? NaN];
        const tall = (ratio: number): number => (Number.isFinite(ratio) ? Math.sqrt(ratio / most) * half : 0);
        marks.push(rect(`attention ${i}`, { ...bar, y: base - tall(up), height: tall(up) }, 'attention', { opacity, value: up }));
        marks.push(rect(`mlp ${i}`, { ...bar, y: base + 2, height: tall(down) }, 'mlp', { opacity, value: down }));
      }
      marks.push(rect('axis', { x, y: base, width: n_layer * pitch - 2, height: 1 }, 'muted'));
      marks.push(text('block first', x, base + half + 16, '0', { mono: true }), text('block last', x + n_layer * pitch - 2, base + half + 16, String(n_layer - 1), { mono: true, anchor: 'end' }));
      const lens = m.lens.depths[depth >= to ? to : at];
      const guess = lens?.top[0];
      if (guess) {
        const y = base + half + 44;
        marks.push(
          text('lens depth', x, y, depth >= to ? `leaving block ${to - 1}` : `entering block ${at}`, {}),
          text('lens words', x, y + 22, g.wide ? 'read out here, the likeliest next would be' : 'likeliest, read out here:', {}),
          text('lens piece', x, y + 44, guess.token.display, { ink: 'ink', mono: true, size: 14, strong: true }),
          number('lens chance', x + textWidth(guess.token.display, 14) + 12, y + 44, guess.probability, '', [], { text: percent(guess.probability), ink: 'ink' }),
        );
      }
      return marks;
    },
  };
}
