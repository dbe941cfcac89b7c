/** How alike the residual streams of two sentences are at pairs of places, after every block: the server's cosines. */
import type { Trace } from '../../trace/trace';

const AT_ONCE = 96;

/** By place in `a`: one cosine a depth. */
export async function cosinesOf(a: Trace, b: Trace, pairs: readonly [number, number][]): Promise<Map<number, number[]>> {
  const parts: [number, number][][] = [];
  for (let from = 0; from < pairs.length; from += AT_ONCE) parts.push(pairs.slice(from, from + AT_ONCE));
  const answers = await Promise.all(parts.map((part) => a.compare(b, part)));
  return new Map(answers.flatMap(({ pairs: found }) => found.map((pair) => [pair.a, pair.cosine.map((each) => each ?? NaN)] as const)));
}
