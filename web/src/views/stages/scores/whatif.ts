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

export interface Given {
  block: number;
  head: number;
  dHead: number;
  n: number;
  /** [query, key] of this head: q·k / √d_head, and the same with the mask's −∞ */
  scaled: ArrayLike<number>;
  scores: ArrayLike<number>;
}

export function changes(kind: WhatIf, given: Given): InterventionSpec[] {
  const { block, head, n, scaled, scores } = given;
  const at = (site: string): string => inBlock(site, block);
  if (kind === 'no-root') {
    return [{ site: at('attn.qk_scaled'), action: 'scale', selection: { head }, value: Math.sqrt(given.dHead) }];
  }
  const rows = Array.from({ length: n }, (_, query) => ({ query, keys: maskedKeys(scores, n, query) })).filter((row) => row.keys.length);
  const there = ({ query, keys }: { query: number; keys: number[] }): InterventionSpec['selection'] => ({
    head, q_pos: query, k_pos: asSelection(keys),
  });
  if (kind === 'zero-before') {
    return rows.map((row) => ({ site: at('attn.attn_scores'), action: 'zero', selection: there(row) }));
  }
  // the scores as they were before the mask; then zeros where the softmax is done
  return [
    ...rows.map((row) => ({
      site: at('attn.attn_scores'), action: 'set', selection: there(row), value: row.keys.map((key) => scaled[row.query * n + key] ?? 0),
    })),
    ...rows.map((row) => ({ site: at('attn.pattern'), action: 'zero', selection: there(row) })),
  ];
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

export interface Effect {
  /** rows with more than 90% on one key */
  sharp: number;
  /** by query: the largest share, the row's sum, what goes to masked keys, and what softmax would have given them */
  rows: { top: number; topKey: number; sum: number; masked: number; lost: number }[];
}

/** Whether a query may look at every key, so that a mask changes nothing in its row. */
export function isOpen(scores: ArrayLike<number>, n: number, query: number): boolean {
  return maskedKeys(scores, n, query).length === 0;
}

/** Sums over the cells shown: nothing else. */
export function effectOf(pattern: ArrayLike<number>, scores: ArrayLike<number>, n: number): Effect {
  const rows = Array.from({ length: n }, (_, query) => {
    let [top, topKey, sum, masked] = [0, 0, 0, 0];
    for (let key = 0; key < n; key++) {
      const share = pattern[query * n + key] ?? 0;
      sum += share;
      if (scores[query * n + key] === -Infinity) masked += share;
      if (share > top) [top, topKey] = [share, key];
    }
    return { top, topKey, sum, masked, lost: Math.max(0, 1 - sum) };
  });
  return { sharp: rows.filter((row) => row.top > 0.9).length, rows };
}
