/** One block's attention: norm, queries, keys and values, turned positions, scores, pattern, mix, and what is added. */
import { percent, short } from '../../../charts/format';
import { between, evenly, type Mark, type Placement, type Scene } from '../frame';
import { above, LINE, shortened, textWidth, type Geometry } from '../geometry';
import { cells, colBox, cellBox, FIRST, firstThere, headline, letter, number, outline, pieceColumn, rowBox, share, stream, sumMarks, text } from '../marks';
import type { Material, SiteName } from '../material';
import { rowOf, strongestCol, type Sheet } from '../sheet';
import { product } from './product';

export function attention(m: Material, g: Geometry): Scene[] {
  const { sites, optional, block, head, row, config } = m;
  const entering = m.streams[block] ?? sites.embed;
  const followed = m.pieces[row]?.display ?? '';
  const keyPiece = m.pieces[m.key]?.display ?? '';
  const still = (): Mark[] => [...pieceColumn(m, g), ...stream(g, entering)];
  const [q, k] = [optional['attn.rot_q'] ?? sites['attn.q'], optional['attn.rot_k'] ?? sites['attn.k']];
  const square = g.square;
  const kT: Placement = { ...above(g, square), turned: true };
  const scenes: Scene[] = [normScene(m, g, 'ln1', entering, 'norm')];

  scenes.push(...product(g, {
    id: 'q', stop: 'qkv', a: { sheet: sites['ln1.out'], name: 'x', ink: 'residual' },
    b: m.weights.q ? { sheet: m.weights.q, name: 'W_Q', ink: 'q' } : null,
    c: { sheet: sites['attn.q'], name: 'Q', ink: 'q' }, at: g.c(0), sum: m.sums.q ?? null, sumTitle: `query of ${followed}, head ${head}`,
    cell: { row, col: strongestCol(sites['attn.q'], row) }, from: { row, col: strongestCol(sites['attn.q'], row) },
    first: { title: 'The first number of a query', words: ['Each number of Q is a sum: the vector of ', { piece: followed }, ' times one column of W_Q, ', { count: config.d_model }, ' products.'] },
    rest: { title: 'Queries, keys and values', words: ['All others alike. Queries look, keys are found, values are handed over; block ', { count: block }, ', head ', { count: head }, '.'] },
    beside: (rest, s) => [
      ...still(),
      ...(['k', 'v'] as const).flatMap((which, i) => {
        const at = g.c(i + 1);
        const sheet = sites[`attn.${which}` as SiteName];
        const weight = m.weights[which];
        const opacity = evenly(s, FIRST, FIRST + 0.5);
        return [
          ...(weight ? [cells(`w${which}`, weight, above(g, at), { opacity }), headline(`w${which}`, above(g, at), `W_${which.toUpperCase()}`, which, opacity)] : []),
          cells(which, sheet, at, { shown: rest, order: 'cells' }), letter(which, at, which.toUpperCase(), which, opacity),
        ];
      }),
    ],
  }));

  if (optional['attn.rot_q'] && optional['attn.rot_k']) {
    const lasts = 2;
    scenes.push({
      id: 'turn', stop: 'position', title: 'Turned by their place', lasts, main: q,
      words: ['Queries and keys are ', ...(m.headNorm ? ['brought to one size and '] : []), 'turned, pair by pair; ', { piece: followed }, ' by ', { count: m.pos }, ' steps of each angle. So their product knows how far apart they stand.'],
      draw: (s) => {
        const turn = between(s, 0.4, lasts);
        return [
          ...still(), cells('q a', sites['ln1.out'], g.a, { opacity: 1 - evenly(s, 0, 0.5) }),
          cells('q c', sites['attn.q'], g.c(0), { next: q, mix: turn, order: 'rows' }), letter('q c', g.c(0), 'Q', 'q'),
          cells('k', sites['attn.k'], g.c(1), { next: k, mix: turn, order: 'rows' }), letter('k', g.c(1), 'K', 'k'),
          cells('v', sites['attn.v'], g.c(2)), letter('v', g.c(2), 'V', 'v'),
        ];
      },
    });
  }

  scenes.push({
    id: 'lay', stop: 'scores', title: 'Queries meet keys', lasts: 1.4, main: q,
    words: ['Queries stand at the left, keys above, on their side: every query will meet every key.'],
    draw: (s) => {
      const go = between(s, 0.1, 1.3);
      return [
        ...still(),
        ...(optional['attn.rot_q'] ? [] : [cells('q a', sites['ln1.out'], g.a, { opacity: 1 - evenly(s, 0, 0.4) })]),
        cells('v', sites['attn.v'], g.c(2), { opacity: 1 - evenly(s, 0, 0.5) }),
        cells('q c', q, g.c(0), { to: g.a, move: go }), cells('k', k, g.c(1), { to: kT, move: go }),
        letter('lay q', g.a, 'Q', 'q', evenly(s, 0.9, 1.3)), headline('lay k', kT, 'Kᵀ', 'k', evenly(s, 0.9, 1.3)),
      ];
    },
  });

  // of a long text the film follows some
  const shown = m.pieces.length;
  scenes.push(...product(g, {
    id: 'scores', stop: 'scores', a: { sheet: q, name: 'Q', ink: 'q' }, b: { sheet: k, name: 'Kᵀ', ink: 'k', turned: true }, standing: true,
    c: { sheet: sites['attn.qk'], name: 'QKᵀ', ink: 'attention' }, at: square, sum: m.sums.qk ?? null, sumTitle: `query of ${followed} × key of ${keyPiece}`,
    cell: { row, col: m.key }, from: { row, col: m.key },
    first: { title: 'One query times one key', words: ['How well do ', { piece: followed }, ' and ', { piece: keyPiece }, ' match? Number by number, ', { count: config.d_head }, ' products, added.'] },
    rest: { title: 'Every query with every key', words: shown < m.nPos
      ? [{ count: shown }, ' × ', { count: shown }, ' of all ', { count: m.nPos }, ' × ', { count: m.nPos }, ', each a sum like the first.']
      : ['All ', { count: m.nPos }, ' × ', { count: m.nPos }, ' of them, each a sum like the first.'] },
    beside: () => still(),
  }));

  const meets = (opacity: number): Mark[] => [
    cells('scores a', q, g.a, { opacity }), letter('scores a', g.a, 'Q', 'q', opacity),
    cells('scores b', k, kT, { opacity }), headline('scores b', kT, 'Kᵀ', 'k', opacity),
  ];
  const value = (site: SiteName): number => sites[site].data[row * sites[site].cols + m.key] ?? NaN;
  const at = (site: SiteName): number[] => sites[site].index(row, m.key);
  const said = (site: SiteName): { value: number; site: string; index: number[] } => ({ value: value(site), site: sites[site].site, index: at(site) });
  scenes.push(
    {
      id: 'scale', stop: 'scores', title: `Divided by √${config.d_head}`, lasts: 1.4, main: sites['attn.qk_scaled'],
      words: ['Every score is divided by √', { count: config.d_head }, ', so that they do not grow with it: ', said('attn.qk'), ' becomes ', said('attn.qk_scaled'), '.'],
      draw: (s) => [...still(), ...meets(1), cells('scores c', sites['attn.qk'], square, { next: sites['attn.qk_scaled'], mix: between(s, 0.2, 1.3) }), letter('scores c', square, 'scores', 'attention')],
    },
    {
      id: 'mask', stop: 'scores', title: 'What is to come is masked', lasts: 1.4, main: sites['attn.attn_scores'],
      words: ['No piece may look at a later one: those scores become −∞ (hatched), before the softmax, so that the rest can share all of it.'],
      draw: (s) => [
        ...still(), ...meets(1),
        cells('scores c', sites['attn.qk_scaled'], square, { next: sites['attn.attn_scores'], mix: evenly(s, 0.1, 1.3), order: 'rows' }), letter('scores c', square, 'scores', 'attention'),
      ],
    },
    {
      id: 'softmax', stop: 'pattern', title: 'Shares of attention', lasts: 2.4, main: sites['attn.pattern'],
      words: ['Softmax makes shares of each row, 1 together. ', { piece: followed }, ' attends to ', { piece: keyPiece }, ' with ', { ...said('attn.pattern'), kind: 'share' }, '.'],
      draw: (s) => [
        ...still(), ...meets(1 - evenly(s, 0, 0.6)),
        cells('scores c', sites['attn.attn_scores'], square, { next: sites['attn.pattern'], mix: evenly(s, 0.2, 1.8), order: 'rows' }), letter('scores c', square, 'pattern', 'attention'),
        outline('row', rowBox(square, sites['attn.pattern'], row), evenly(s, 1.6, 1.9)), ...shares(m, g, evenly(s, 1.6, 2.2)),
      ],
    },
    {
      id: 'lay mix', stop: 'mix', title: 'Shares meet values', lasts: 1.4, main: sites['attn.pattern'],
      words: ['The pattern goes to the left; the values of all pieces stand above, one a row.'],
      draw: (s) => {
        const there = above(g, g.c(0));
        return [
          ...still(), cells('scores c', sites['attn.pattern'], square, { to: g.a, move: between(s, 0.1, 1.2) }), letter('z a', g.a, 'A', 'attention', evenly(s, 0.9, 1.2)),
          cells('z b', sites['attn.v'], there, { opacity: between(s, 0.5, 1.2) }), headline('z b', there, 'V', 'v', evenly(s, 0.6, 1.2)),
        ];
      },
    },
  );
  scenes.push(...mixed(m, g, still));
  return scenes;
}

/** The followed row's largest shares, in words and numbers. */
function shares(m: Material, g: Geometry, opacity: number): Mark[] {
  const { row, sites, pieces } = m;
  const pattern = sites['attn.pattern'];
  const keys = pieces.map((_, i) => i).filter((i) => !pattern.masked?.[row * pattern.cols + i]);
  const of = (i: number): number => pattern.data[row * pattern.cols + i] ?? NaN;
  keys.sort((a, b) => of(b) - of(a));
  const { x, y, width } = g.sum;
  return [
    text('shares of', x, y, `largest shares of ${shortened(pieces[row]?.display ?? '', 16)}`, { ink: 'ink', opacity }),
    ...keys.slice(0, 6).flatMap((i, at) => {
      const line = y + (at + 1.4) * LINE;
      return [
        text(`share ${i}`, x, line, shortened(pieces[i]?.display ?? '', 16), { mono: true, opacity }),
        share(`share ${i} is`, x + width, line, of(i), pattern.site, pattern.index(row, i), { text: percent(of(i)), anchor: 'end', ink: 'ink', opacity }),
      ];
    }),
  ];
}

/** The mix of values, every head's part, their sum, and the stream that it is added to. */
function mixed(m: Material, g: Geometry, still: () => Mark[]): Scene[] {
  const { sites, row, head, block, config, parts } = m;
  const followed = m.pieces[row]?.display ?? '';
  const entering = m.streams[block] ?? sites.embed;
  const zCol = strongestCol(sites['attn.z'], row);
  const scenes = product(g, {
    id: 'z', stop: 'mix', a: { sheet: sites['attn.pattern'], name: 'A', ink: 'attention' }, b: { sheet: sites['attn.v'], name: 'V', ink: 'v' }, standing: true,
    c: { sheet: sites['attn.z'], name: 'z', ink: 'v' }, at: g.c(0), sum: m.sums.z ?? null, sumTitle: `mix for ${followed}, dimension ${sites['attn.z'].index(row, zCol).at(-1) ?? 0}`,
    cell: { row, col: zCol }, from: { row, col: zCol },
    first: { title: 'Values, mixed by the shares', words: ['Each value is taken in its share, and they are added: the mix that ', { piece: followed }, ' receives.'] },
    rest: { title: 'The mix of every piece', words: ['The same for all dimensions and all pieces.'] },
    beside: () => still(),
  });

  const list = { ...g.c(1), height: Math.min(g.c(1).height, config.n_head * g.rowHeight) };
  const out = g.c(2);
  const col = strongestCol(sites['attn_out'], row);
  const own = rowOf(parts, head);
  const ownAt = rowBox(list, parts, head);
  const z = (opacity = 1): Mark[] => [cells('z c', sites['attn.z'], g.c(0), { opacity }), letter('z c', g.c(0), 'z', 'v', opacity)];
  const heads = (shown: number, opacity = 1): Mark[] => [
    cells('own part', own, ownAt, { opacity }), cells('parts', parts, list, { shown, order: 'rows', opacity }),
    letter('parts', g.c(1), config.n_head === 1 ? 'its part' : `${config.n_head} heads`, 'attention', opacity),
  ];
  scenes.push({
    id: 'parts', stop: 'mix', title: 'What each head would add', lasts: 2, main: parts,
    words: ['Its mix goes through weights of its own, W_O, and becomes this head’s part for ', { piece: followed }, '. The other heads did the same beside it.'],
    draw: (s) => [
      ...still(), cells('z a', sites['attn.pattern'], g.a, { opacity: 1 - evenly(s, 0, 0.5) }), cells('z b', sites['attn.v'], above(g, g.c(0)), { opacity: 1 - evenly(s, 0, 0.5) }), ...z(),
      ...heads(evenly(s, 0.8, 1.9)).map((mark) => (mark.id === 'own part' ? { ...mark, opacity: evenly(s, 0.2, 0.7) } : mark)),
    ],
  });
  const sum = m.sums.attn_out;
  const target = cellBox(out, sites['attn_out'], row, col);
  if (sum) {
    scenes.push({
      id: 'attn_out first', stop: 'mix', title: 'All heads, added', lasts: FIRST, main: sites['attn_out'],
      words: ['One number of what attention adds: the sum of the same number of every head’s part.'],
      draw: (s) => [
        ...still(), ...z(), ...heads(1), letter('attn_out', out, 'adds', 'attention'),
        ...(firstThere(s) ? [cells('attn_out', sites['attn_out'], out, { shown: 0, order: 'cells', first: row * sites['attn_out'].cols + col })] : []),
        outline('head column', colBox(list, parts, col), evenly(s, 0.3, 0.6)), outline('out cell', target, evenly(s, 0.3, 0.6)),
        ...sumMarks(sum, `what attention adds to ${followed}`, g, s, target),
      ],
    });
  }
  scenes.push(
    {
      id: 'attn_out rest', stop: 'mix', title: 'What attention adds', lasts: 1.4, main: sites['attn_out'],
      words: ['The same for every number of every piece.'],
      draw: (s) => [
        ...still(), ...z(), ...heads(1), letter('attn_out', out, 'adds', 'attention'),
        cells('attn_out', sites['attn_out'], out, { shown: evenly(s, 0, 1.3), order: 'cells', first: sum ? row * sites['attn_out'].cols + col : null }),
        ...(sum ? sumMarks(sum, `what attention adds to ${followed}`, g, FIRST, null).map((mark) => ({ ...mark, opacity: mark.opacity * (1 - evenly(s, 0, 0.5)) })) : []),
      ],
    },
    addScene(m, g, { id: 'attention', stop: 'mix', what: sites['attn_out'], from: out, before: entering, after: sites.resid_mid, who: 'Attention', fading: (opacity) => [...z(opacity), ...heads(1, opacity)] }),
  );
  return scenes;
}

/** The stream's copy is brought to one size: what the next step reads. */
export function normScene(m: Material, g: Geometry, ln: 'ln1' | 'ln2' | 'ln_final', from: Sheet, stop: string): Scene {
  const [out, scale] = [m.sites[`${ln}.out`], m.sites[`${ln}.scale`]];
  const own = scale.data[m.row] ?? NaN;
  const what = m.norm === 'rms' ? 'its size' : 'its spread, after its mean is taken away';
  return {
    id: ln, stop, title: 'Brought to one size', lasts: 2, main: out,
    words: ['A copy of the stream is divided by ', what, ', here ', { value: own, site: scale.site, index: scale.index(m.row, 0) }, ' for ', { piece: m.pieces[m.row]?.display ?? '' }, ', then scaled by learned gains.'],
    draw: (s) => [
      ...pieceColumn(m, g), ...stream(g, from),
      cells(`${ln} out`, from, g.stream, { to: g.a, move: between(s, 0, 0.9), next: out, mix: between(s, 0.9, 1.7) }), letter(`${ln} out`, g.a, 'x', 'residual', evenly(s, 0.7, 1)),
      ...m.pieces.map((piece, i) =>
        number(`scale ${piece.pos}`, g.a.x + g.a.width + 8 + textWidth('÷ ', 12), g.middle(i), scale.data[i] ?? NaN, scale.site, scale.index(i, 0), { opacity: evenly(s, 0.9, 1.3), text: short(scale.data[i]) })),
      ...m.pieces.map((piece, i) => text(`scale sign ${piece.pos}`, g.a.x + g.a.width + 8, g.middle(i), '÷', { mono: true, opacity: evenly(s, 0.9, 1.3) })),
    ],
  };
}

/** What was made goes to the stream and is added to it. */
export function addScene(
  m: Material, g: Geometry,
  add: { id: string; stop: string; what: Sheet; from: Placement; before: Sheet; after: Sheet; who: string; fading: (opacity: number) => Mark[] },
): Scene {
  const lasts = 1.8;
  return {
    id: `add ${add.id}`, stop: add.stop, title: 'Added to the stream', lasts, main: add.after,
    words: [`${add.who} only ever adds: every number of the stream gets one of these. The stream itself runs through.`],
    draw: (s) => {
      const go = between(s, 0.2, 1.2);
      return [
        ...pieceColumn(m, g), ...stream(g, add.before, add.after, between(s, 1, 1.7)), ...add.fading(1 - evenly(s, 0, 0.5)),
        cells(`added ${add.id}`, add.what, add.from, { to: g.stream, move: go, opacity: 1 - evenly(s, 1, 1.5) }),
      ];
    },
  };
}
