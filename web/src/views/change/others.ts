/** The sentences beside the one on the page, traced: unchanged, and each once. */
import type { Client } from '../../protocol/client';
import type { Manifest } from '../../protocol/types';
import { Trace } from '../../trace/trace';

/** `other` of the address: one sentence, or two, a line each. */
export function sentencesOf(other: string | null): string[] {
  return (other ?? '').split('\n').filter(Boolean).slice(0, 2);
}

export function joined(sentences: readonly string[]): string | null {
  return sentences.map((each) => each.replace(/\n/g, ' ')).filter(Boolean).join('\n') || null;
}

const MOST = 12;
const known = new Map<string, Promise<Trace>>();

export function traceOf(beside: Trace, text: string, client: Client): Promise<Trace> {
  const { model } = beside;
  if (text === beside.manifest.text && !beside.manifest.interventions.length) return Promise.resolve(beside);
  const key = JSON.stringify([model.name, text]);
  const found = known.get(key);
  if (found) return found;
  const made = client.post<Manifest>('/api/traces', { model: model.name, text }).then((manifest) => new Trace(manifest, model, client));
  known.set(key, made);
  made.catch(() => known.delete(key));
  const [oldest] = known.keys();
  if (known.size > MOST && oldest !== undefined) known.delete(oldest);
  return made;
}
