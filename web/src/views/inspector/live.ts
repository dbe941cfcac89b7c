/** An explained number with its own numbers in the formula: LaTeX for short ones, a readable sum for long ones. Pure. */
import { short } from '../../charts/format';
import type { ConfigAnswer, ExplainAnswer, SourceAnswer } from '../../protocol/types';

/** `value` as the sum of `a[i] · b[i]` (b null: of a alone), plus `bias`. `from`: the input whose terms are followed. */
export interface LongSum {
  a: number[];
  b: number[] | null;
  bias: number;
  from: SourceAnswer;
  with: SourceAnswer | null;
}

/** digits of a quotient's parts, so that it closes to its three as displayed */
export const CLOSING = 5;
const CLOSE = 1e-5;
// roots, quotients, turned pairs and curves: no sum of their inputs, even where one happens to come near
const NO_SUM = /(\.scale|\.normalized|attn\.(rot_q|rot_k|qk_scaled|attn_scores|pattern)|mlp\.post)$/;

export function longSum(answer: ExplainAnswer): LongSum | null {
  const [first, second, third] = answer.inputs;
  const target = answer.result;
  if (!first || target === null || first.values.length < 2 || NO_SUM.test(answer.site)) return null;
  const a = numbers(first);
  const tries: LongSum[] = [];
  if (second && second.values.length === first.values.length) {
    tries.push({ a, b: numbers(second), bias: third?.values.length === 1 ? (third.values[0] ?? 0) : 0, from: first, with: second });
  }
  if (!second || second.values.length === 1) {
    tries.push({ a, b: null, bias: second?.values[0] ?? 0, from: first, with: null });
  }
  return tries.find((each) => closes(each, target)) ?? null;
}

function closes(sum: LongSum, target: number): boolean {
  let total = sum.bias;
  let size = Math.abs(sum.bias);
  sum.a.forEach((value, i) => {
    const product = value * (sum.b?.[i] ?? 1);
    total += product;
    size += Math.abs(product);
  });
  return Number.isFinite(total) && Math.abs(total - target) <= CLOSE * size + 1e-6;
}

/** The formula with its numbers put in, as LaTeX; null where a list of inputs says it better. */
export function liveLatex(answer: ExplainAnswer, config: ConfigAnswer): string | null {
  const own = answer.site.replace(/^blocks\.\d+\./, '');
  const [x, y, z] = answer.inputs.map((input) => input.values[0] ?? NaN);
  const result = tex(answer.result);
  const xs = answer.inputs[0] ? numbers(answer.inputs[0]) : [];
  if (/^resid_(mid|post|pre)$/.test(own)) {
    return y === undefined ? `${tex(x)} = ${result}` : `${tex(x)} + ${bracket(y)} = ${result}`;
  }
  if (own.endsWith('.scale')) {
    const mean = average(xs);
    const centre = answer.latex.includes('bar') ? mean : 0;
    const square = average(xs.map((each) => (each - centre) ** 2));
    return `\\sqrt{${tex(square)} + ${tex(config.norm_eps)}} = ${result}`;
  }
  if (own.endsWith('.normalized')) {
    const scale = y ?? NaN;
    if (!answer.latex.includes('bar')) return `${tex(x)} \\,/\\, ${tex(scale)} = ${result}`;
    const place = answer.inputs[0]?.index.at(-1)?.indexOf(answer.index.at(-1) ?? -1) ?? -1;
    return `(${tex(xs[place])} - ${bracket(average(xs))}) \\,/\\, ${tex(scale)} = ${result}`;
  }
  if (/ln\w*\.out$/.test(own)) return `${tex(x)} \\cdot ${bracket(y)}${z === undefined ? '' : ` + ${bracket(z)}`} = ${result}`;
  if (own === 'attn.qk_scaled') return `\\frac{${tex(x)}}{\\sqrt{${config.d_head}}} = \\frac{${tex(x)}}{${tex(Math.sqrt(config.d_head))}} = ${result}`;
  if (own === 'attn.attn_scores') {
    return answer.result === null ? `\\text{the mask says no:}\\; -\\infty` : `\\text{the mask allows it:}\\; ${result}`;
  }
  if (own === 'attn.pattern') {
    const scores = answer.inputs[0]?.values ?? [];
    const top = Math.max(...scores.map((each) => each ?? -Infinity));
    const total = scores.reduce<number>((sum, each) => sum + (each === null ? 0 : Math.exp(each - top)), 0);
    const place = answer.inputs[0]?.index.at(-1)?.indexOf(answer.index.at(-1) ?? -1) ?? -1;
    const score = scores[place] ?? null;
    const shown = score === null ? '-\\infty' : `${tex(score)} - ${bracket(top)}`;
    return `\\frac{e^{${shown}}}{\\sum_k e^{s_k - ${bracket(top)}}} = \\frac{${tex(score === null ? 0 : Math.exp(score - top), CLOSING)}}{${tex(total, CLOSING)}} = ${result}`;
  }
  if (own === 'mlp.post') {
    const act = `\\mathrm{${config.activation.replace('_', '\\_')}}(${tex(x)})`;
    return y === undefined ? `${act} = ${result}` : `${act} \\cdot ${bracket(y)} = ${result}`;
  }
  if (own === 'attn.rot_q' || own === 'attn.rot_k') {
    // half-split: dimension i turns with i + d_head / 2
    const half = config.d_head / 2;
    const at = answer.index.at(-1) ?? 0;
    const pair = at % half;
    const [cos, sin] = [answer.inputs[1], answer.inputs[2]].map((input) => input?.values[pair] ?? NaN);
    const [a, b] = [xs[pair], xs[pair + half]];
    return at < half
      ? `${tex(a)} \\cdot ${bracket(cos)} - ${bracket(b)} \\cdot ${bracket(sin)} = ${result}`
      : `${tex(b)} \\cdot ${bracket(cos)} + ${bracket(a)} \\cdot ${bracket(sin)} = ${result}`;
  }
  return null;
}

/** The values of an input; null on the wire is −∞. */
export function numbers(input: SourceAnswer): number[] {
  return input.values.map((value) => value ?? -Infinity);
}

/** The index of value `i` of an input, row-major over its own index lists. */
export function indexOfValue(input: SourceAnswer, i: number): number[] {
  const index: number[] = [];
  let rest = i;
  for (let axis = input.index.length - 1; axis >= 0; axis--) {
    const along = input.index[axis] ?? [];
    index.unshift(along[rest % along.length] ?? 0);
    rest = Math.floor(rest / Math.max(1, along.length));
  }
  return index;
}

export function tex(value: number | null | undefined, digits = 3): string {
  const text = short(value, digits).replace('−', '-').replace(/,/g, '{,}').replace('∞', '\\infty').replace('–', '\\text{–}');
  return text.replace(/×10(⁻?)([⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, (_, sign: string, digits: string) => {
    const power = [...digits].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'.indexOf(digit)).join('');
    return `\\times 10^{${sign ? '-' : ''}${power}}`;
  });
}

function bracket(value: number | undefined): string {
  return (value ?? 0) < 0 ? `(${tex(value)})` : tex(value);
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
