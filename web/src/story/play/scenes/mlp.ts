/** One block's MLP: norm, neurons, activation, and what is added. */
import { count } from '../../../charts/format';
import { between, evenly, type Mark, type Placement, type Scene } from '../frame';
import { above, type Geometry } from '../geometry';
import { cells, headline, letter, pieceColumn, stream } from '../marks';
import type { Material } from '../material';
import { strongestCol } from '../sheet';
import { addScene, normScene } from './attention';
import { product } from './product';

export function mlp(m: Material, g: Geometry): Scene[] {
  const { sites, optional, row, config, block } = m;
  const linear = optional['mlp.pre_linear'];
  const followed = m.pieces[row]?.display ?? '';
  const still = (): Mark[] => [...pieceColumn(m, g), ...stream(g, sites.resid_mid)];
  const width = Math.round(g.vector * 1.5);
  const at: Placement = { ...g.c(0), width };
  const beside: Placement = { ...at, x: at.x + width + g.gap };
  const col = strongestCol(sites['mlp.pre'], row);
  const neuron = sites['mlp.pre'].index(row, col).at(-1) ?? 0;
  const outCol = strongestCol(sites.mlp_out, row);
  const after = m.streams[block + 1] ?? sites.resid_mid;
  const lasts = 2;
  return [
    normScene(m, g, 'ln2', sites.resid_mid, 'mlp'),
    ...product(g, {
      id: 'pre', stop: 'mlp', a: { sheet: sites['ln2.out'], name: 'x', ink: 'residual' }, b: m.weights.pre ? { sheet: m.weights.pre, name: linear ? 'W_gate' : 'W_in', ink: 'mlp' } : null,
      c: { sheet: sites['mlp.pre'], name: linear ? 'gate' : 'neurons', ink: 'mlp' }, at, sum: m.sums.pre ?? null, sumTitle: `neuron ${count(neuron)} at ${followed}`,
      cell: { row, col }, from: { row, col },
      first: { title: 'One neuron reads the vector', words: ['Neuron ', { count: neuron }, ' has ', { count: config.d_model }, ' weights, one for each number of the vector. Products, added, as before; no other piece is looked at.'] },
      rest: {
        title: `All ${count(config.d_mlp)} neurons`,
        words: linear ? ['All ', { count: config.d_mlp }, ' gates, and beside them as many linear branches, made the same way.'] : ['All ', { count: config.d_mlp }, ' neurons, for every piece.'],
      },
      beside: (rest, s) => [...still(), ...(linear ? [cells('linear', linear, beside, { shown: rest, order: 'cells' }), letter('linear', beside, 'linear', 'mlp', evenly(s, 4, 4.5))] : [])],
    }),
    {
      id: 'activation', stop: 'mlp', title: 'A curve decides', lasts, main: sites['mlp.post'],
      words: linear
        ? ['The gate is bent by a curve, so that most go to nearly nothing, and multiplies its linear branch: how strongly each neuron fires.']
        : ['Each is bent by a curve, so that most of what is negative goes to nearly nothing: how strongly each neuron fires.'],
      draw: (s) => [
        ...still(), cells('pre a', sites['ln2.out'], g.a, { opacity: 1 - evenly(s, 0, 0.4) }),
        cells('pre c', sites['mlp.pre'], at, { next: sites['mlp.post'], mix: between(s, 0.8, 1.8) }), letter('post', at, 'active', 'mlp'),
        ...(linear ? [cells('linear', linear, beside, { to: at, move: between(s, 0.1, 1), opacity: 1 - evenly(s, 0.9, 1.5) })] : []),
      ],
    },
    {
      id: 'lay mlp', stop: 'mlp', title: 'And writes back', lasts: 1.2, main: sites['mlp.post'],
      words: ['Each neuron has a row of W_out: what it writes into the stream when it fires.'],
      draw: (s) => {
        const there = above(g, g.c(0));
        return [
          ...still(), cells('pre c', sites['mlp.post'], at, { to: g.a, move: between(s, 0, 1) }), letter('mlp_out a', g.a, 'active', 'mlp', evenly(s, 0.7, 1)),
          ...(m.weights.mlp_out ? [cells('mlp_out b', m.weights.mlp_out, there, { opacity: between(s, 0.4, 1.1) }), headline('mlp_out b', there, 'W_out', 'mlp', evenly(s, 0.4, 1.1))] : []),
        ];
      },
    },
    ...product(g, {
      id: 'mlp_out', stop: 'mlp', a: { sheet: sites['mlp.post'], name: 'active', ink: 'mlp' }, b: m.weights.mlp_out ? { sheet: m.weights.mlp_out, name: 'W_out', ink: 'mlp' } : null, standing: true,
      c: { sheet: sites.mlp_out, name: 'adds', ink: 'mlp' }, at: g.c(0), sum: m.sums.mlp_out ?? null, sumTitle: `what the MLP adds to ${followed}`,
      cell: { row, col: outCol }, from: { row, col: outCol },
      first: { title: 'What the neurons write', words: ['One number of what the MLP adds: every neuron’s activation times its weight.'] },
      rest: { title: 'What the MLP adds', words: ['The same for every number of every piece.'], lasts: 1.4 },
      beside: () => still(),
    }),
    addScene(m, g, {
      id: 'mlp', stop: 'mlp', what: sites.mlp_out, from: g.c(0), before: sites.resid_mid, after, who: 'The MLP',
      fading: (opacity) => [cells('mlp_out a', sites['mlp.post'], g.a, { opacity })],
    }),
  ];
}
