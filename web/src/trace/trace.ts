/** A trace on the page: its manifest, its model, and the sites that were asked for, each fetched once.
 *
 * `site(name, selection, reduce)` gives a promise of a `Tensor`. Requests of one tick with the same selection and
 * reduction travel together. A trace that the server has dropped (410) is made again from its own pieces.
 */
import { ApiError, modelPath, type Client, type Query } from '../protocol/client';
import { readSafetensors } from '../protocol/safetensors';
import type {
  AttributionAnswer, CompareAnswer, DetectorsAnswer, ExplainAnswer, HeadsAnswer, InterventionSpec, LargestNeuronsAnswer, LensAnswer, Manifest, ModelAnswer, NeighboursAnswer, NextAnswer,
  SiteRange, SurpriseAnswer, TokenAnswer, TraceRequest, VocabularyAnswer,
} from '../protocol/types';
import { partAround, type Span } from './rows';
import { stacked, type Tensor } from './tensor';

/** axis -> index, as in the address of the API: 3, "1,4" or "0:10". A number keeps its axis with length 1. */
export type Selection = Readonly<Record<string, number | string>>;
/** The largest |x| of each of so many bins along the last axis. */
export interface Reduce {
  readonly bins: number;
}

/** Everything that the first view draws, of `rows` positions from `first` on. */
export interface Overview {
  first: number;
  rows: number;
  /** stripes of `embed`, every `resid_pre`, and the last `resid_post`, each [pos, bin] */
  stripes: Map<string, Tensor>;
  /** ‖attn_out‖ / ‖resid_pre‖ and ‖mlp_out‖ / ‖resid_mid‖, row-major [block, pos] */
  attn: Float32Array;
  mlp: Float32Array;
  next: NextAnswer;
}

export interface Sampling {
  temperature?: number; top_k?: number; top_p?: number; min_p?: number; seed?: number; index?: number;
}

/** candidates of a view of what comes next */
const MOST_OFTEN = 20;
/** cells of a stripe of the stream: a slat is at most so many px wide */
const BINS = 24;

function asByDefault({ temperature = 1, top_k, top_p, min_p, seed = 0, index = 0 }: Sampling): boolean {
  return temperature === 1 && seed === 0 && index === 0 && [top_k, top_p, min_p].every((each) => each === undefined);
}

interface Batch {
  query: Query;
  waiting: Map<string, { resolve: (tensor: Tensor) => void; reject: (error: unknown) => void }>;
}

const UNKNOWN_RANGE: SiteRange = { min: null, max: null, absmax: null, c: null, whole: false };

export class Trace {
  private readonly cache = new Map<string, Promise<unknown>>();
  private readonly batches = new Map<string, Batch>();
  /** pieces that were met, by id: those of the text, and candidates */
  readonly pieces = new Map<number, TokenAnswer>();
  private remaking: Promise<string> | null = null;
  /** the first of the overviews, which brings along what comes next */
  private firstView: Promise<Overview> | null = null;
  private id: string;

  constructor(
    readonly manifest: Manifest,
    readonly model: ModelAnswer,
    private readonly client: Client,
    readonly interventions: readonly InterventionSpec[] = [],
  ) {
    this.id = manifest.id;
    for (const token of manifest.tokens) this.pieces.set(token.id, token);
  }

  get nPos(): number {
    return this.manifest.n_pos;
  }

  get tokens(): Manifest['tokens'] {
    return this.manifest.tokens;
  }

  site(name: string, selection: Selection = {}, reduce?: Reduce): Promise<Tensor> {
    const query: Query = { ...sorted(selection) };
    if (reduce) Object.assign(query, { reduce: 'absmax', bins: reduce.bins });
    const group = JSON.stringify(query);
    return this.once(`${name} ${group}`, () => {
      let batch = this.batches.get(group);
      if (!batch) {
        this.batches.set(group, (batch = { query, waiting: new Map() }));
        queueMicrotask(() => {
          const full = this.batches.get(group);
          this.batches.delete(group);
          if (full) void this.send(full);
        });
      }
      const waiting = batch.waiting;
      return new Promise<Tensor>((resolve, reject) => waiting.set(name, { resolve, reject }));
    });
  }

  /** Several sites at once, in the order of the names. */
  sites(names: readonly string[], selection: Selection = {}, reduce?: Reduce): Promise<Tensor[]> {
    return Promise.all(names.map((name) => this.site(name, selection, reduce)));
  }

  /** Several sites at once, and not kept here: parts of what is too large to hold, for whoever looks at them now. */
  async passing(names: readonly string[], selection: Selection): Promise<Tensor[]> {
    const buffer = await this.alive((id) => this.client.bytes(`/api/traces/${id}/sites`, { names: names.join(','), ...sorted(selection) }));
    const found = tensors(buffer, (name) => this.siteAxes(name), this.manifest.shapes);
    return names.map((name) => found.get(name) ?? lacks(name));
  }

  /** Of all positions, or of those from `from` to before `to`. */
  overview(bins = BINS, part?: Span): Promise<Overview> {
    const pos = part && `${part.from}:${part.to}`;
    const asked = this.once(`overview ${bins} ${pos}`, async () => {
      const buffer = await this.alive((id) => this.client.bytes(`/api/traces/${id}/overview`, { bins, k: MOST_OFTEN, pos }));
      const found = tensors(buffer, (name) => this.siteAxes(name), this.manifest.shapes);
      const { attn_ratio: attn, mlp_ratio: mlp } = Object.fromEntries(found);
      if (!attn || !mlp) throw new ApiError(500, 'Unexpected', "the server's overview lacks its ratios");
      const next = JSON.parse(readSafetensors(buffer).metadata['next'] ?? 'null') as NextAnswer;
      return { first: part?.from ?? 0, rows: attn.shape.at(-1) ?? 0, stripes: found, attn: attn.data, mlp: mlp.data, next };
    });
    if (bins === BINS && !this.firstView) {
      this.firstView = asked;
      asked.catch(() => (this.firstView = null));
    }
    return asked;
  }

  /** The first view, as far as it is fetched to show this position. */
  overviewAt(pos: number): Promise<Overview> {
    return this.overview(BINS, partAround(pos, this.nPos));
  }

  explain(site: string, index: readonly number[]): Promise<ExplainAnswer> {
    return this.ask('explain', { site, index: index.join(',') });
  }

  async next(position: number, k = MOST_OFTEN, sampling: Sampling = {}): Promise<NextAnswer> {
    // the first view brings this one along
    const view = k === MOST_OFTEN && position === this.nPos - 1 && asByDefault(sampling) ? this.firstView : null;
    const answer = view ? (await view).next : await this.ask<NextAnswer>('next', { position, k, ...sampling });
    for (const { token } of answer.candidates) this.pieces.set(token.id, token);
    return answer;
  }

  surprise(): Promise<SurpriseAnswer> {
    return this.ask('surprise', {});
  }

  lens(position: number, tokens: readonly number[] = [], k = 5): Promise<LensAnswer> {
    return this.ask('lens', { position, tokens: tokens.join(','), k });
  }

  /** The heads that attend most strongly from a position, the first token set aside. */
  heads(position: number, k = 20): Promise<HeadsAnswer> {
    return this.ask('heads', { position, k });
  }

  attribution(position: number, token: number, against?: number): Promise<AttributionAnswer> {
    return this.ask('attribution', { position, token, against });
  }

  /** How alike the residual streams of two runs are at pairs of places, after every block. */
  compare(other: Trace, pairs: readonly (readonly [number, number])[]): Promise<CompareAnswer> {
    const asked = pairs.map((pair) => pair.join(':')).join(',');
    return this.once(`compare ${other.manifest.id} ${asked}`, () =>
      this.alive((id) => other.alive((otherId) => this.client.json<CompareAnswer>(`/api/traces/${id}/compare`, { other: otherId, pairs: asked }))),
    );
  }

  /** The neurons of all blocks that wrote most to a token’s logit at a position, up or down. */
  writingNeurons(position: number, token: number, k = 20): Promise<LargestNeuronsAnswer> {
    return this.ask('neurons/largest', { position, token, k, by: 'value' });
  }

  /** Each head's habits on random tokens: of the model, not of this text. */
  detectors(): Promise<DetectorsAnswer> {
    const path = `/api/models/${modelPath(this.model.name)}/detectors`;
    return this.once(path, () => this.client.json(path));
  }

  /** Tokens of the vocabulary by text, number or bytes. */
  vocabulary(query: string, k = 50): Promise<VocabularyAnswer> {
    const path = `/api/models/${modelPath(this.model.name)}/vocabulary`;
    return this.once(`${path} ${k} ${query}`, async () => {
      const answer = await this.client.json<VocabularyAnswer>(path, { query, k });
      for (const token of answer.tokens) this.pieces.set(token.id, token);
      return answer;
    });
  }

  neighbours(plus: readonly number[], minus: readonly number[] = [], k = 10): Promise<NeighboursAnswer> {
    const query = { plus: plus.join(','), minus: minus.join(','), k };
    const path = `/api/models/${modelPath(this.model.name)}/neighbours`;
    return this.once(path + JSON.stringify(query), () => this.client.json(path, query));
  }

  /** The trace as a file that `cutaway.load_trace` reads again. */
  async saved(): Promise<{ name: string; bytes: ArrayBuffer }> {
    const bytes = await this.alive((id) => this.client.bytes(`/api/traces/${id}/save`));
    const model = this.model.name.split(/[/\\]/).at(-1)?.replace(/[^\w.-]+/g, '-') || 'trace';
    return { name: `${model}-${this.nPos}-tokens.safetensors`, bytes };
  }

  /** A weight, or the part of it that `selection` names. */
  parameter(name: string, selection: Selection = {}, reduce?: { bins: number }): Promise<Tensor> {
    const query: Query = { ...sorted(selection), ...(reduce ? { reduce: 'absmax', bins: reduce.bins } : {}) };
    return this.once(`parameter ${name} ${JSON.stringify(query)}`, async () => {
      const path = `/api/models/${modelPath(this.model.name)}/parameters/${name}`;
      const found = tensors(await this.client.bytes(path, query), (full) => this.parameterAxes(full)).get(name);
      if (!found) throw new ApiError(500, 'Unexpected', `the server's answer lacks ${name}`);
      return found;
    });
  }

  /** Axes of a site or parameter, by full name or template. */
  siteAxes(name: string): readonly string[] {
    return this.model.sites.find((row) => row.template === templateOf(name))?.axes ?? [];
  }

  parameterAxes(name: string): readonly string[] {
    return this.model.parameters.find((row) => row.template === templateOf(name))?.axes ?? [];
  }

  has(name: string): boolean {
    return this.model.sites.some((row) => row.template === templateOf(name));
  }

  private ask<T>(what: string, query: Query): Promise<T> {
    return this.once(`${what} ${JSON.stringify(query)}`, () =>
      this.alive((id) => this.client.json<T>(`/api/traces/${id}/${what}`, query)),
    );
  }

  private once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.cache.get(key);
    if (known) return known as Promise<T>;
    const made = make();
    this.cache.set(key, made);
    // what failed may be asked again
    made.catch(() => this.cache.delete(key));
    return made;
  }

  private async send(batch: Batch): Promise<void> {
    const names = [...batch.waiting.keys()];
    try {
      const query = { names: names.join(','), ...batch.query };
      const buffer = await this.alive((id) => this.client.bytes(`/api/traces/${id}/sites`, query));
      const found = tensors(buffer, (name) => this.siteAxes(name), this.manifest.shapes);
      for (const [name, { resolve, reject }] of batch.waiting) {
        const tensor = found.get(name);
        if (tensor) resolve(tensor);
        else reject(new ApiError(500, 'Unexpected', `the server's answer lacks ${name}`));
      }
    } catch (error) {
      for (const { reject } of batch.waiting.values()) reject(error);
    }
  }

  private async alive<T>(call: (id: string) => Promise<T>): Promise<T> {
    const id = this.id;
    try {
      return await call(id);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 410) throw error;
      if (this.id === id) await this.remake();
      return call(this.id);
    }
  }

  private async remake(): Promise<void> {
    const { model, tokens } = this.manifest;
    // ids, not the text: a text given as ids need not encode to them again
    const request: TraceRequest = { model, ids: tokens.map((token) => token.id), interventions: [...this.interventions] };
    this.remaking ??= this.client.post<Manifest>('/api/traces', request).then((made) => (this.id = made.id));
    try {
      await this.remaking;
    } finally {
      this.remaking = null;
    }
  }
}

/** blocks.3.attn.q -> blocks.{i}.attn.q */
export function templateOf(name: string): string {
  return name.replace(/^blocks\.\d+\./, 'blocks.{i}.');
}

/** attn.q in block 3 -> blocks.3.attn.q; a template is filled in. */
export function inBlock(name: string, block: number): string {
  return name.startsWith('blocks.{i}.') ? name.replace('{i}', String(block)) : `blocks.${block}.${name}`;
}

export function blockOf(name: string): number | null {
  const found = /^blocks\.(\d+)\./.exec(name);
  return found ? Number(found[1]) : null;
}

function lacks(name: string): never {
  throw new ApiError(500, 'Unexpected', `the server's answer lacks ${name}`);
}

function sorted(selection: Selection): Query {
  return Object.fromEntries(Object.entries(selection).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A ratio of the overview in a block, at a position. */
export function ratioAt(view: Overview, of: 'attn' | 'mlp', block: number, pos: number): number {
  const own = pos - view.first;
  return own >= 0 && own < view.rows ? (view[of][block * view.rows + own] ?? NaN) : NaN;
}

/** Overviews of positions that follow one another, as one. */
export function joined(parts: readonly Overview[]): Overview {
  const [first] = parts;
  if (!first) throw new Error('There is nothing to put together.');
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const beside = (of: (part: Overview) => Float32Array): Float32Array => {
    const blocks = of(first).length / first.rows;
    const data = new Float32Array(blocks * rows);
    let before = 0;
    for (const part of parts) {
      for (let block = 0; block < blocks; block++) data.set(of(part).subarray(block * part.rows, (block + 1) * part.rows), block * rows + before);
      before += part.rows;
    }
    return data;
  };
  const stripes = new Map([...first.stripes.keys()].filter((name) => !name.endsWith('_ratio')).map((name) => [name, stacked(parts.flatMap((part) => part.stripes.get(name) ?? []))]));
  return { ...first, rows, stripes, attn: beside((part) => part.attn), mlp: beside((part) => part.mlp) };
}

function tensors(
  buffer: ArrayBuffer,
  axesOf: (name: string) => readonly string[],
  shapes: Record<string, number[]> = {},
): Map<string, Tensor> {
  const frame = readSafetensors(buffer);
  const ranges = JSON.parse(frame.metadata['ranges'] ?? '{}') as Record<string, SiteRange>;
  const found = new Map<string, Tensor>();
  for (const [name, raw] of frame.tensors) {
    if (name.endsWith('#index') || !(raw.data instanceof Float32Array)) continue;
    const at = frame.tensors.get(`${name}#index`)?.data;
    found.set(name, {
      name,
      axes: axesOf(name),
      shape: raw.shape,
      data: raw.data,
      at: at instanceof Int32Array ? at : null,
      fullLast: shapes[templateOf(name)]?.at(-1) ?? raw.shape.at(-1) ?? 0,
      range: ranges[name] ?? UNKNOWN_RANGE,
    });
  }
  return found;
}
