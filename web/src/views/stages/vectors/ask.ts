/** What does not belong to a trace: a text's pieces with their merges, and rows near to a sum of rows. */
import { Client, modelPath } from '../../../protocol/client';
import type { NeighboursAnswer, TokenizeAnswer } from '../../../protocol/types';

const client = new Client();
const known = new Map<string, Promise<unknown>>();
const MOST_KEPT = 64;

/** `at`: of the word alone that holds this piece, however long the text. */
export function tokenize(model: string, text: string, at: number | null = null): Promise<TokenizeAnswer> {
  return once(`pieces ${model} ${at} ${text}`, () => client.post('/api/tokenize', { model, text, at }));
}

/** `exclude`: leave out the rows that were asked with. */
export function neighbours(
  model: string, plus: readonly number[], minus: readonly number[], k: number, exclude: boolean,
): Promise<NeighboursAnswer> {
  const query = { plus: plus.join(','), minus: minus.join(','), k, exclude };
  const path = `/api/models/${modelPath(model)}/neighbours`;
  return once(path + JSON.stringify(query), () => client.json(path, query));
}

function once<T>(key: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(key);
  if (found) return found as Promise<T>;
  const made = make();
  if (known.size >= MOST_KEPT) known.delete(known.keys().next().value ?? '');
  known.set(key, made);
  made.catch(() => known.delete(key));
  return made;
}
