/** The last norm, the logits, their chances, and the draw. */
import { count, short } from '../../../charts/format';
import { between, evenly, mix, type Mark, type Scene } from '../frame';
import { LINE, shortened, textWidth, type Geometry } from '../geometry';
import { cells, FIRST, letter, number, outline, pieceColumn, rect, rowBox, share, stream, sumMarks, text } from '../marks';
import type { Material } from '../material';
import { normScene } from './attention';

export function ending(m: Material, g: Geometry): Scene[] {
  const { next, row, config } = m;
  const last = m.streams.at(-1) ?? m.sites.embed;
  const out = m.sites['ln_final.out'];
  const followed = m.pieces[row]?.display ?? '';
  const top = next.candidates[0];
  const still = (): Mark[] => [...pieceColumn(m, g), ...stream(g, last)];
  const normed = (opacity = 1): Mark[] => [cells('ln_final out', out, g.a, { opacity }), letter('ln_final out', g.a, 'x', 'residual', opacity)];

  // the candidates stand where products were; on a narrow screen beside the vector all the same
  const x = g.a.x + g.a.width + (g.wide ? 32 : 12);
  const right = g.wide ? g.sum.x + g.sum.width : g.width - 2;
  const name = g.wide ? 96 : 64;
  const logitAt = x + name + 44;
  const barAt = logitAt + (g.wide ? 20 : 8);
  const chanceAt = right;
  const barRoom = Math.max(16, chanceAt - 52 - barAt);
  const step = 22;
  const lineAt = (i: number): number => 58 + i * step;
  const most = top?.probability || 1;
  const chosen = next.chosen;
  const score = (value: number | null): number => value ?? NaN;

  const list = (shown: number, chances: number, dim = 1): Mark[] => [
    text('logit title', logitAt, 34, 'logit', { anchor: 'end', opacity: evenly(shown, 0, 0.2) }),
    text('chance title', chanceAt, 34, 'chance', { anchor: 'end', opacity: chances }),
    ...next.candidates.flatMap((each, i) => {
      const n = next.candidates.length;
      const opacity = evenly(shown, (i / n) * 0.8, (i / n) * 0.8 + 0.2) * (each.token.id === chosen.id ? 1 : dim);
      const bar = { x: barAt, y: lineAt(i) - 5, width: Math.max(1, (each.probability / most) * barRoom), height: 10 };
      return [
        text(`candidate ${each.token.id}`, x, lineAt(i), shortened(each.token.display, g.wide ? 11 : 7), { ink: 'ink', mono: true, opacity }),
        number(`logit ${each.token.id}`, logitAt, lineAt(i), score(each.logit), 'logits', [next.position, each.token.id], { anchor: 'end', opacity }),
        rect(`chance ${each.token.id}`, bar, 'share', { opacity: opacity * chances, value: each.probability }),
        share(`chance ${each.token.id} is`, chanceAt, lineAt(i), each.probability, '', [], { anchor: 'end', ink: 'ink', opacity: opacity * chances }),
      ];
    }),
    text('others', x, lineAt(next.candidates.length), `and ${count(next.n_vocab - next.candidates.length)} others`, { opacity: evenly(shown, 0.8, 1) }),
  ];

  const sum = m.sums.logits;
  const target = { x: logitAt - 40, y: lineAt(0) - 10, width: 40, height: 20 };
  const scenes: Scene[] = [normScene(m, g, 'ln_final', last, 'draw')];
  if (sum && top) {
    scenes.push({
      id: 'logits first', stop: 'draw', title: 'One score', lasts: FIRST, main: out,
      words: ['Every piece of the list has a column of ', { count: config.d_model }, ' weights. The vector of ', { piece: followed }, ' times the column of ', { piece: top.token.display }, ' is its logit.'],
      draw: (s) => [
        ...still(), ...normed(), outline('logit row', rowBox(g.a, out, row), evenly(s, 0.2, 0.5)),
        ...(g.wide ? [text('candidate alone', x, lineAt(0), shortened(top.token.display, 11), { ink: 'ink', mono: true, opacity: evenly(s, 0.2, 0.5) })] : []),
        ...sumMarks(sum, `logit of ${top.token.display}`, g, s, target),
      ],
    });
  }
  scenes.push(
    {
      id: 'logits rest', stop: 'draw', title: `${count(config.n_vocab)} scores`, lasts: 2, main: out,
      words: ['One for every piece that the model knows; the likeliest are listed.'],
      draw: (s) => [
        ...still(), ...normed(), ...list(evenly(s, 0.2, 1.9), 0),
        ...(sum && top ? sumMarks(sum, `logit of ${top.token.display}`, g, FIRST, null).map((mark) => ({ ...mark, opacity: mark.opacity * (1 - evenly(s, 0, 0.3)) })) : []),
      ],
    },
    {
      id: 'chances', stop: 'draw', title: 'Chances', lasts: 1.6, main: out,
      words: top ? ['Softmax makes chances of them, 1 together: ', { piece: top.token.display }, ' gets ', { value: top.probability, kind: 'share', site: 'logits', index: [next.position, top.token.id] }, '.'] : [],
      draw: (s) => [...still(), ...normed(1 - evenly(s, 0, 0.5)), ...list(1, evenly(s, 0.2, 1.4))],
    },
  );

  // the chances end to end from 0 to 1, and where the random number falls
  const { draw } = next;
  const lineY = lineAt(next.candidates.length + 1) + 8;
  const room = right - x;
  const at = (share: number): number => x + share * room;
  const line = (opacity: number): Mark[] =>
    draw
      ? [
          rect('line', { x, y: lineY, width: room, height: 14 }, 'rule', { line: true, opacity }),
          ...draw.cumulative.map((part) =>
            rect(`part ${part.token.id}`, { x: at(part.low), y: lineY, width: Math.max(0.5, (part.high - part.low) * room - 1), height: 14 }, 'share', {
              opacity: opacity * (part.token.id === chosen.id ? 1 : 0.3), value: part.high - part.low,
            })),
        ]
      : [];
  const pointer = (u: number, opacity: number): Mark[] => [
    rect('u', { x: at(u) - 1, y: lineY - 5, width: 2, height: 24 }, 'lit', { opacity }),
  ];
  const follows = row === m.pieces.length - 1;
  // it goes to the row after the last; where another piece really came next, to the right of the stream
  const goal = follows ? { x: g.pieces - textWidth(shortened(chosen.display, g.letters), 12), y: g.bottom + 10 } : { x: g.a.x, y: g.middle(row) };
  const origin = { x, y: lineY + 34 };
  const words = draw
    ? ['A random number falls on one of them, ', { piece: chosen.display }, '.', ...(m.set ? [' Your settings of the draw are in it.'] : [])]
    : ['At temperature 0 nothing is drawn: the likeliest, ', { piece: chosen.display }, ', is taken.'];
  scenes.push(
    {
      id: 'draw', stop: 'draw', title: draw ? 'A draw' : 'The likeliest', lasts: 2.6, main: out, words,
      draw: (s) => [
        ...still(), ...list(1, 1, mix(1, 0.45, evenly(s, 1.8, 2.2))), ...line(evenly(s, 0, 0.6)),
        ...(draw ? [...pointer(mix(0, draw.u, between(s, 0.6, 1.8)), evenly(s, 0.5, 0.6)), number('u is', at(draw.u) > x + room - 60 ? at(draw.u) - 8 : at(draw.u) + 8, lineY + 27, draw.u, '', [], { text: short(draw.u), anchor: at(draw.u) > x + room - 60 ? 'end' : 'start', ink: 'lit', opacity: evenly(s, 1.7, 1.9) })] : []),
        text('chosen', origin.x, origin.y + LINE, chosen.display, { ink: 'ink', mono: true, strong: true, opacity: evenly(s, 1.9, 2.3) }),
      ],
    },
    {
      id: 'again', stop: 'draw', title: 'Written, and once more', lasts: 2.6, main: out,
      words: follows
        ? ['It is put behind the text, and the whole begins again for the next one.']
        : ['That is what was likely here; the text went on as it stands.'],
      draw: (s) => {
        const go = between(s, 0.2, 1.6);
        return [
          ...still(), ...list(1, 1, 0.45), ...line(1), ...(draw ? pointer(draw.u, 1) : []),
          text('chosen', mix(origin.x, goal.x, go), mix(origin.y + LINE, goal.y, go), shortened(chosen.display, g.letters), { ink: 'ink', mono: true, strong: true }),
        ];
      },
    },
  );
  return scenes;
}
