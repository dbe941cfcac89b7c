/** How alike the residual streams of two sentences are at pairs of places, after every block: the server's cosines. */
import type { Trace } from '../../trace/trace';

export const AT_ONCE = 96;

/** By place in `a`: one cosine a depth. `parts`: the same pairs, as they are to be asked for; each part is asked for once. */
export async function cosinesOf(a: Trace, b: Trace, pairs: readonly [number, number][], parts: readonly (readonly [number, number][])[] = inParts(pairs)): Promise<Map<number, number[]>> {
  const answers = await Promise.all(parts.filter((part) => part.length).map((part) => a.compare(b, part)));
  return new Map(answers.flatMap(({ pairs: found }) => found.map((pair) => [pair.a, pair.cosine.map((each) => each ?? NaN)] as const)));
}

function inParts(pairs: readonly [number, number][]): [number, number][][] {
  const parts: [number, number][][] = [];
  for (let from = 0; from < pairs.length; from += AT_ONCE) parts.push(pairs.slice(from, from + AT_ONCE));
  return parts;
}
