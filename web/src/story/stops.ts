/** The twelve stops of the reading line. Each sets the state in the address and says a few words filled with live
 * values; no figure and no claim about a sentence or a model is written here by hand.
 */
import { PLAIN, type Address, type Sampling } from '../state/address';
import { ratioAt, type Trace } from '../trace/trace';

/** Words, a piece of the text, or a number that can be pointed at and pinned. */
export type Part =
  | string
  | { piece: string }
  | { value: number; kind?: 'number' | 'share'; site: string; index: number[] }
  | { count: number };

export interface Where {
  trace: Trace;
  block: number;
  head: number;
  pos: number;
  /** the draw's settings; none: the model's own chances */
  sampling?: Sampling;
  /** the pattern sets the first piece aside */
  aside?: boolean;
}

export interface Stop {
  id: string;
  title: string;
  /** the stage that it unfolds, and whether a block is open */
  open: string | null;
  inBlock: boolean;
  says: (where: Where) => Promise<Part[]>;
  question: string;
  todo: string;
}

/** “1 piece”, “2 pieces”: the word that follows a count */
export const plural = (n: number, one: string, many = `${one}s`): string => (n === 1 ? one : many);
const piece = (trace: Trace, pos: number): Part => ({ piece: trace.tokens[pos]?.display ?? '' });

export const STOPS: readonly Stop[] = [
  {
    id: 'text', title: 'Text', open: null, inBlock: false,
    says: async ({ trace }) => [
      'You wrote ', { count: [...trace.manifest.text].length }, ` ${plural([...trace.manifest.text].length, 'character')}. The model will answer one question about them: which piece of text comes next? Everything between is arithmetic, and all of it is here.`,
    ],
    question: 'Which word decides what comes next?',
    todo: 'Change one, and watch the answer.',
  },
  {
    id: 'pieces', title: 'Pieces', open: 'pieces', inBlock: false,
    says: async ({ trace }) => [
      'The text is cut into ', { count: trace.nPos }, ` ${plural(trace.nPos, 'piece')} out of the `, { count: trace.model.config.n_vocab }, ' that this model knows. Each is a number: ',
      piece(trace, trace.nPos - 1), ' is ', { count: trace.tokens.at(-1)?.id ?? 0 }, '.',
    ],
    question: 'Is a piece always a word?',
    todo: 'Write a rare word; see it cut.',
  },
  {
    id: 'vectors', title: 'Vectors', open: 'embedding', inBlock: false,
    says: async ({ trace, pos }) => [
      'Each piece looks up its row of a table: ', { count: trace.model.config.d_model }, ' numbers. ', piece(trace, pos), ' starts with ',
      { value: (await trace.site('embed', { pos })).data[0] ?? NaN, site: 'embed', index: [pos, 0] }, '. So far it knows nothing of its neighbours.',
    ],
    question: 'Do two equal pieces start equal?',
    todo: 'Compare two rows with the same piece.',
  },
  {
    id: 'position', title: 'Position', open: 'rope', inBlock: true,
    says: async ({ trace, pos }) =>
      trace.model.traits.rotary
        ? ['The vectors do not say where they stand. Here the position acts inside each block: queries and keys, two stops on, are turned (rotary position embedding, RoPE), ', piece(trace, pos), ' by ', { count: pos }, ` ${plural(pos, 'step')} of each angle.`]
        : ['A vector does not say where it stands, so a second table is added, one row for each position: ', piece(trace, pos), ' gets row ', { count: pos }, '.'],
    question: 'What does another position change?',
    todo: 'Select one, and watch the numbers change.',
  },
  {
    id: 'norm', title: 'Norm', open: 'norm', inBlock: true,
    says: async ({ trace, block, pos }) => {
      const site = `blocks.${block}.ln1.scale`;
      const scale = (await trace.site(site, { pos })).data[0] ?? NaN;
      return ['Before it is read, the vector is brought to one size (normalized: a “norm”): all its numbers are divided by ', { value: scale, site, index: [pos, 0] }, ', then each dimension gets its learned gain.'];
    },
    question: 'Are all pieces’ vectors equally large?',
    todo: 'Select other pieces; compare what they are divided by.',
  },
  {
    id: 'qkv', title: 'Q, K, V', open: 'qkv', inBlock: true,
    says: async ({ trace, head, pos }) => [
      'Three products with learned weights. The query says what ', piece(trace, pos), ' looks for, keys what each piece offers to be found by, values what it hands over. Head ', { count: head }, ' uses ', { count: trace.model.config.d_head }, ' numbers for each.',
    ],
    question: 'Where does one number of Q come from?',
    todo: 'Pin one number of Q.',
  },
  {
    id: 'scores', title: 'Scores', open: 'scores', inBlock: true,
    says: async (where) => {
      const { trace, block, head, pos } = where;
      const key = await strongestKey({ ...where, aside: false });
      const site = `blocks.${block}.attn.qk`;
      const value = (await trace.site(site, { head, q_pos: pos, k_pos: key })).data[0] ?? NaN;
      const said: Part[] = ['The query of ', piece(trace, pos), ' times the key of ', piece(trace, key), ' is ', { value, site, index: [head, pos, key] }, `, then divided by √${trace.model.config.d_head}. `];
      const scores = `blocks.${block}.attn.attn_scores`;
      const later = (await trace.site(scores, { head, q_pos: pos })).data.findIndex((score, k) => k > pos && score === -Infinity);
      if (later < 0) return [...said, 'It is the last piece; for an earlier one, every piece still to come gets −∞.'];
      return [...said, piece(trace, later), ' is still to come, so its score is ', { value: -Infinity, site: scores, index: [head, pos, later] }, '.'];
    },
    question: 'Why −∞ and not zero?',
    todo: 'Choose an earlier piece, then “mask with 0”.',
  },
  {
    id: 'pattern', title: 'Pattern', open: 'pattern', inBlock: true,
    says: async (where) => {
      const { trace, block, head, pos } = where;
      const key = await strongestKey(where);
      const site = `blocks.${block}.attn.pattern`;
      const value = (await trace.site(site, { head, q_pos: pos, k_pos: key })).data[0] ?? NaN;
      return ['Softmax turns each row of scores into shares of 1. Here ', piece(trace, pos), where.aside ? ', the first piece aside, attends most to ' : ' attends most to ', piece(trace, key), ' with ', { value, kind: 'share', site, index: [head, pos, key] }, ' of its attention.'];
    },
    question: 'Who attends to whom?',
    todo: 'Try the other heads.',
  },
  {
    id: 'mix', title: 'Mix and add', open: 'mix', inBlock: true,
    says: async ({ trace, block, pos }) => {
      const ratio = ratioAt(await trace.overviewAt(pos), 'attn', block, pos);
      return ['The values are mixed in those shares, every head’s mix is written back through its own weights, and the sum is added to the stream: here ', { value: ratio, site: '', index: [] }, ' times its length.'];
    },
    question: 'Is joining heads the same as adding their parts?',
    todo: 'Compare one head’s part with the sum.',
  },
  {
    id: 'mlp', title: 'MLP', open: 'mlp', inBlock: true,
    says: async ({ trace, block, pos }) => {
      const ratio = ratioAt(await trace.overviewAt(pos), 'mlp', block, pos);
      return [
        'Now each position works alone, in a multi-layer perceptron (MLP): ', { count: trace.model.config.d_mlp }, ' neurons read it, a curve decides how strongly each fires, and what they write is added: ',
        { value: ratio, site: '', index: [] }, ' times the stream’s length.',
      ];
    },
    question: 'Where is the step that is not linear?',
    todo: 'Find the strongest neuron.',
  },
  {
    id: 'layers', title: 'Again', open: 'did', inBlock: false,
    says: async ({ trace }) => ['The same two steps, ', { count: trace.model.config.n_layer }, ` ${plural(trace.model.config.n_layer, 'time')}, each block with weights of its own. The stream runs through; blocks only ever add to it. Violet is attention, ochre the MLP.`],
    question: 'Which block adds most?',
    todo: 'Open another block.',
  },
  {
    id: 'draw', title: 'Chances and the draw', open: 'draw', inBlock: false,
    says: async ({ trace, pos, sampling = PLAIN.sampling }) => {
      const { temperature, seed, top_k, top_p, min_p } = sampling;
      const { candidates } = await trace.next(pos, 20, { temperature, seed, top_k: top_k ?? undefined, top_p: top_p ?? undefined, min_p: min_p ?? undefined });
      const [first] = candidates;
      if (!first) return ['There is no next piece to choose.'];
      const settings: Part[] = [', and has ', { value: first.final, kind: 'share', site: '', index: [] }, ' after your settings'];
      const set = temperature !== 1 || top_k !== null || top_p !== null || min_p !== null;
      return [
        'Every piece gets a score (its logit); softmax makes chances: ', { piece: first.token.display }, ' leads with ',
        { value: first.probability, kind: 'share', site: 'logits', index: [pos, first.token.id] },
        ...(set ? settings : []),
        temperature === 0
          ? '. Nothing is drawn: the likeliest is taken, so the text is the same every time.'
          : '. A random number draws: always taking the likeliest would give the same text every time.',
      ];
    },
    question: 'Why not always the likeliest?',
    todo: 'Draw again with another seed.',
  },
];

export function stopById(id: string | null): Stop | null {
  return STOPS.find((stop) => stop.id === id) ?? null;
}

/** A head that gives nearly all to one key shows the same whatever is done to its scores. */
const NOT_ALL = 0.9;

/** The head that looks back most strongly from a position, and not with all it has. */
export async function headToFollow(trace: Trace, pos: number): Promise<{ block: number; head: number }> {
  const back = (await trace.heads(pos)).heads.filter((each) => each.key !== pos);
  const best = back.find((each) => each.weight <= NOT_ALL) ?? back[0];
  return { block: best?.block ?? 0, head: best?.head ?? 0 };
}

/** What a stop sets. */
export async function setFor(stop: Stop, trace: Trace, address: Address): Promise<Partial<Address>> {
  // learned positions stand before the blocks, turned ones inside them
  const learned = stop.id === 'position' && trace.has('pos_embed');
  const change: Partial<Address> = { stop: stop.id, open: learned ? 'position' : stop.open, panel: null, pin: [] };
  if (!stop.inBlock || learned) return { ...change, block: null };
  if (address.block !== null) return change;
  return { ...change, ...(await headToFollow(trace, address.pos ?? trace.nPos - 1)) };
}

/** The key that this row of this head attends to most: the one that the panel lists first. */
async function strongestKey({ trace, block, head, pos, aside = false }: Where): Promise<number> {
  const row = (await trace.site(`blocks.${block}.attn.pattern`, { head, q_pos: pos })).data;
  let best = aside && pos > 0 ? 1 : 0;
  for (let key = best + 1; key <= pos; key++) if ((row[key] ?? 0) > (row[best] ?? 0)) best = key;
  return best;
}
