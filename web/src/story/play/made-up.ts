/** For tests: a trace whose every number is a function of its site and index, so that any picture of it can be checked. */
import type { ExplainAnswer, ModelAnswer } from '../../protocol/types';
import type { Tensor } from '../../trace/tensor';
import { templateOf, type Selection, type Trace } from '../../trace/trace';

/** between −1 and 1, another for every place */
export function valueOf(site: string, index: readonly number[]): number {
  let hash = 2166136261;
  for (const letter of `${site}:${index.join(',')}`) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
  const value = Math.fround(((hash >>> 8) / 2 ** 23 - 1) * 0.999);
  const [, query = 0, key = 0] = index;
  if (site.endsWith('attn_scores') && key > query) return -Infinity;
  if (site.endsWith('pattern')) return key > query ? 0 : Math.fround(1 / (query + 1));
  return value;
}

export interface Shape {
  rotary: boolean;
  gated: boolean;
  n: number;
  n_layer?: number;
  n_head?: number;
}

export function madeUp({ rotary, gated, n, n_layer = 4, n_head = 4 }: Shape): Trace {
  const config = { n_layer, n_head, n_kv_head: Math.max(1, n_head / 2), n_ctx: 64, n_vocab: 50, d_model: 96, d_head: 8, d_mlp: 130 };
  const lengths: Record<string, number> = { pos: n, q_pos: n, k_pos: n, head: n_head, kv_head: config.n_kv_head, d_head: 8, d_model: 96, d_mlp: 130, vocab: 50, one: 1 };
  const rows: [string, string][] = [
    ['embed', 'pos d_model'], ...(rotary ? [] : [['pos_embed', 'pos d_model'] as [string, string]]),
    ...['resid_pre', 'ln1.out', 'attn_out', 'resid_mid', 'ln2.out', 'mlp_out', 'resid_post'].map((site): [string, string] => [`blocks.{i}.${site}`, 'pos d_model']),
    ...['ln1.scale', 'ln2.scale'].map((site): [string, string] => [`blocks.{i}.${site}`, 'pos one']),
    ...['attn.q', 'attn.z', ...(rotary ? ['attn.rot_q'] : [])].map((site): [string, string] => [`blocks.{i}.${site}`, 'pos head d_head']),
    ...['attn.k', 'attn.v', ...(rotary ? ['attn.rot_k'] : [])].map((site): [string, string] => [`blocks.{i}.${site}`, 'pos kv_head d_head']),
    ...['attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern'].map((site): [string, string] => [`blocks.{i}.${site}`, 'head q_pos k_pos']),
    ['blocks.{i}.attn.result', 'pos head d_model'],
    ...['mlp.pre', 'mlp.post', ...(gated ? ['mlp.pre_linear'] : [])].map((site): [string, string] => [`blocks.{i}.${site}`, 'pos d_mlp']),
    ['ln_final.out', 'pos d_model'], ['ln_final.scale', 'pos one'], ['logits', 'pos vocab'],
  ];
  const weights: [string, string][] = [
    ['blocks.{i}.attn.W_Q', 'head d_model d_head'], ['blocks.{i}.attn.W_K', 'kv_head d_model d_head'], ['blocks.{i}.attn.W_V', 'kv_head d_model d_head'],
    ['blocks.{i}.mlp.W_in', 'd_model d_mlp'], ['blocks.{i}.mlp.W_out', 'd_mlp d_model'], ['W_U', 'd_model vocab'],
  ];
  const made: Record<string, string> = { 'attn.k': 'attn.W_K', 'attn.v': 'attn.W_V' };
  const model = {
    name: 'made-up', config, traits: { rotary, gated, norm: rotary ? 'rms' : 'layer', qk_norm: false },
    sites: rows.map(([template, axes]) => {
      const weight = made[template.replace('blocks.{i}.', '')];
      return { template, axes: axes.split(' '), inputs: weight ? [{ name: `blocks.{i}.${weight}`, index: [], kind: 'parameter' }] : [] };
    }),
    parameters: weights.map(([template, axes]) => ({ template, axes: axes.split(' '), shape: [] })),
  } as unknown as ModelAnswer;
  const axesIn = (list: [string, string][], name: string): string[] => list.find(([template]) => template === templateOf(name))?.[1].split(' ') ?? [];
  const tokens = Array.from({ length: Math.max(3, n) }, (_, id) => ({ id: id + 3, text: `w${id}`, display: `·w${String.fromCharCode(97 + id)}`, bytes: '', special: false }));

  function tensor(name: string, axes: string[], selection: Selection, bins = 1e9): Tensor {
    const places = axes.map((axis) => {
      const chosen = selection[axis] ?? (axis === 'q_pos' ? selection['pos'] : undefined);
      if (typeof chosen === 'number') return [chosen];
      if (typeof chosen === 'string') return chosen.split(',').map(Number);
      return Array.from({ length: lengths[axis] ?? 1 }, (_, i) => i);
    });
    const last = places.at(-1) ?? [];
    const cols = Math.min(bins, last.length);
    const reduced = cols < last.length;
    const leads = places.slice(0, -1).reduce<number[][]>((all, axis) => all.flatMap((head) => axis.map((i) => [...head, i])), [[]]);
    const data: number[] = [];
    const at: number[] = [];
    for (const lead of leads) {
      for (let col = 0; col < cols; col++) {
        const bin = last.slice(Math.floor((col * last.length) / cols), Math.floor(((col + 1) * last.length) / cols));
        const best = bin.reduce((a, b) => (Math.abs(valueOf(name, [...lead, b])) > Math.abs(valueOf(name, [...lead, a])) ? b : a));
        data.push(valueOf(name, [...lead, best]));
        at.push(best);
      }
    }
    return {
      name, axes, shape: [...places.slice(0, -1).map((each) => each.length), cols], data: Float32Array.from(data), at: reduced ? Int32Array.from(at) : null,
      fullLast: last.length, range: { min: -1, max: 1, absmax: 1, c: 0.8, whole: true },
    };
  }

  const site = (name: string, selection: Selection = {}, reduce?: { bins: number }): Promise<Tensor> => Promise.resolve(tensor(name, axesIn(rows, name), selection, reduce?.bins));
  const FACTORS: Record<string, [string, string, string]> = {
    'attn.q': ['ln1.out', 'attn.W_Q', 'd_model'], 'attn.qk': [rotary ? 'attn.rot_q' : 'attn.q', rotary ? 'attn.rot_k' : 'attn.k', 'd_head'], 'attn.z': ['attn.pattern', 'attn.v', 'k_pos'],
    'attn_out': ['attn.result', '', 'head'], 'mlp.pre': ['ln2.out', 'mlp.W_in', 'd_model'], 'mlp_out': ['mlp.post', 'mlp.W_out', 'd_mlp'], 'logits': ['ln_final.out', 'W_U', 'd_model'],
  };
  const explain = (name: string, index: readonly number[]): Promise<ExplainAnswer> => {
    const own = name.replace(/^blocks\.\d+\./, '');
    const full = (each: string): string => name.replace(own, each);
    const [a = '', b = '', over = ''] = FACTORS[own] ?? [];
    const count = lengths[over] ?? 1;
    // the axis that is summed over, among others of length 1
    const input = (each: string): ExplainAnswer['inputs'][number] => {
      const weight = each.includes('W_');
      const called = axesIn(weight ? weights : rows, full(each));
      let found = called.indexOf(over);
      if (found < 0) found = 0;
      const places = called.map((_, i) => (i === found ? Array.from({ length: count }, (__, k) => k) : [0]));
      const at = (k: number): number[] => called.map((_, i) => (i === found ? k : 0));
      return { name: full(each), kind: weight ? 'parameter' : 'site', axes: called, index: places, shape: places.map((p) => p.length), values: Array.from({ length: count }, (_, k) => valueOf(full(each), at(k))) };
    };
    const inputs = [input(a), ...(b ? [input(b)] : [])];
    const total = (inputs[0]?.values ?? []).reduce<number>((sum, value, k) => sum + (value ?? 0) * (b ? (inputs[1]?.values[k] ?? 0) : 1), 0);
    return Promise.resolve({ site: name, axes: axesIn(rows, name), index: [...index], value: total, result: total, latex: '', meaning: '', source: '', changed_by: [], inputs });
  };
  const candidate = (id: number): object => ({ token: tokens[id], rank: id, logit: valueOf('logits', [n - 1, id + 3]), probability: 0.5 / (id + 1), scaled: 0, final: 0.5 / (id + 1) });
  return {
    nPos: n, tokens: tokens.slice(0, n), model, manifest: { start: 0 },
    has: (name: string) => axesIn(rows, name).length > 0, siteAxes: (name: string) => axesIn(rows, name), parameterAxes: (name: string) => axesIn(weights, name),
    site, sites: (names: string[], selection: Selection, reduce: { bins: number }) => Promise.all(names.map((name) => site(name, selection, reduce))),
    parameter: (name: string, selection: Selection, reduce?: { bins: number }) => Promise.resolve(tensor(name, axesIn(weights, name), selection, reduce?.bins)),
    explain,
    overviewAt: () => Promise.resolve({ first: 0, rows: n, attn: new Float32Array(n_layer * n).fill(0.3), mlp: new Float32Array(n_layer * n).fill(0.2) }),
    next: (position: number) => Promise.resolve({
      position, candidates: [0, 1, 2].map(candidate), n_vocab: 50, chosen: tokens[1], kept: {}, max_logit: 1, log_sum_exp: 1,
      draw: { u: 0.6, token: tokens[1], cumulative: [{ token: tokens[0], low: 0, high: 0.5 }, { token: tokens[1], low: 0.5, high: 0.75 }, { token: tokens[2], low: 0.75, high: 0.9 }] },
    }),
    lens: () => Promise.resolve({ position: n - 1, note: '', depths: Array.from({ length: n_layer + 1 }, (_, i) => ({ name: `depth ${i}`, tokens: [], top: [{ token: tokens[0], probability: 0.1 + i / 100, logit: 1 }] })) }),
    heads: () => Promise.resolve({ position: n - 1, heads: [{ block: 2, head: 1, key: 0, weight: 0.9, first: 0 }] }),
  } as unknown as Trace;
}
