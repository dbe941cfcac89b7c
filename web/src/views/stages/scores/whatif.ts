/** "What if": the same text run again by the model, with one step of one head changed. Nothing is computed here: the changes
 * are interventions, and what is shown is the second run's own values.
 */
import { Client } from '../../../protocol/client';
import type { InterventionSpec, Manifest, TraceRequest } from '../../../protocol/types';
import { inBlock, Trace } from '../../../trace/trace';
import { asSelection, maskedKeys } from '../attention/attention';

export type WhatIf = 'no-root' | 'zero-before' | 'zero-after';

export function isWhatIf(text: string | null): text is WhatIf {
  return text === 'no-root' || text === 'zero-before' || text === 'zero-after';
}

/** A query, and the keys that it may not look at. */
export interface Closed {
  query: number;
  keys: readonly number[];
}

export interface Given {
  block: number;
  head: number;
  dHead: number;
  /** where the mask is changed */
  rows: readonly Closed[];
  /** those are all rows that have a mask */
  all: boolean;
}

export function changes(kind: WhatIf, { block, head, dHead, rows, all }: Given): InterventionSpec[] {
  const at = (site: string): string => inBlock(site, block);
  if (kind === 'no-root') {
    return [{ site: at('attn.qk_scaled'), action: 'scale', selection: { head }, value: Math.sqrt(dHead) }];
  }
  const there = ({ query, keys }: Closed): InterventionSpec['selection'] => ({ head, q_pos: query, k_pos: asSelection(keys) });
  const zero = (site: string): InterventionSpec[] => rows.map((row) => ({ site: at(site), action: 'zero', selection: there(row) }));
  if (kind === 'zero-before') return zero('attn.attn_scores');
  // the scores as they were before the mask; then zeros where the softmax is done
  const without = all ? [{ head }] : rows.map(({ query }) => ({ head, q_pos: query }));
  return [...without.map((selection) => ({ site: at('attn.attn_scores'), action: 'skip', selection })), ...zero('attn.pattern')];
}

/** Every row that has a mask, by the scores after it. */
export function closedRows(scores: ArrayLike<number>, n: number): Closed[] {
  return Array.from({ length: n }, (_, query) => ({ query, keys: maskedKeys(scores, n, query) })).filter((row) => row.keys.length);
}

const runs = new WeakMap<Trace, Map<string, Promise<Trace>>>();
let client: Client | null = null;

/** The second run of a trace's text; asked once for each change. */
export function rerun(trace: Trace, name: string, interventions: InterventionSpec[]): Promise<Trace> {
  const known = runs.get(trace) ?? new Map<string, Promise<Trace>>();
  runs.set(trace, known);
  const found = known.get(name);
  if (found) return found;
  const asking = (client ??= new Client());
  const { model, text, tokens } = trace.manifest;
  const request: TraceRequest = { model, interventions };
  if (text) request.text = text;
  else request.ids = tokens.map((token) => token.id);
  const made = asking.post<Manifest>('/api/traces', request).then((manifest) => new Trace(manifest, trace.model, asking, interventions));
  known.set(name, made);
  made.catch(() => known.delete(name));
  return made;
}

/** What a row of a pattern shows: the largest share, its sum, what goes to masked keys, and what softmax would have given them. */
export interface RowEffect {
  top: number;
  topKey: number;
  sum: number;
  masked: number;
  lost: number;
}

export interface Effect {
  /** rows with more than 90% on one key */
  sharp: number;
  /** by query */
  rows: RowEffect[];
}

/** Whether a query may look at every key, so that a mask changes nothing in its row. */
export function isOpen(scores: ArrayLike<number>, n: number, query: number): boolean {
  return maskedKeys(scores, n, query).length === 0;
}

export function rowEffect(shares: ArrayLike<number>, masked: (key: number) => boolean): RowEffect {
  let [top, topKey, sum, hidden] = [0, 0, 0, 0];
  for (let key = 0; key < shares.length; key++) {
    const share = shares[key] ?? 0;
    sum += share;
    if (masked(key)) hidden += share;
    if (share > top) [top, topKey] = [share, key];
  }
  return { top, topKey, sum, masked: hidden, lost: Math.max(0, 1 - sum) };
}

const SHARP = 0.9;

export function isSharp(largestShare: number): boolean {
  return largestShare > SHARP;
}

/** Sums over the cells shown: nothing else. */
export function effectOf(pattern: Float32Array, scores: ArrayLike<number>, n: number): Effect {
  const rows = Array.from({ length: n }, (_, query) => rowEffect(pattern.subarray(query * n, (query + 1) * n), (key) => scores[query * n + key] === -Infinity));
  return { sharp: rows.filter((row) => isSharp(row.top)).length, rows };
}
