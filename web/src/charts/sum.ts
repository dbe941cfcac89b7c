/** A sum that can be read: its largest terms and one "other", closing to the total exactly as displayed. */
import { minus } from './format';

export interface Term {
  /** place among the terms */
  at: number;
  value: number;
  shown: string;
}

export interface ReadableSum {
  terms: Term[];
  /** how many terms "other" stands for */
  rest: number;
  other: number;
  otherShown: string;
  /** what the terms do not come to, because the total was changed in the run by hand; 0: nothing */
  changed: number;
  changedShown: string;
  total: number;
  totalShown: string;
  decimals: number;
}

// float32 sums of tens of thousands of terms stay far within it
const ROUNDING = 2e-3;

/** The decimals are those that give the total three significant digits (none beyond nine). What rounding leaves goes
 * into "other", so that the column adds up as it is printed. */
export function readableSum(terms: ArrayLike<number>, total: number, most = 8, digits = 3): ReadableSum {
  const order = Array.from({ length: terms.length }, (_, i) => i);
  order.sort((a, b) => Math.abs(terms[b] ?? 0) - Math.abs(terms[a] ?? 0) || a - b);
  const size = Math.abs(total);
  const decimals = size > 0 ? Math.max(0, Math.min(9, digits - 1 - Math.floor(Math.log10(size)))) : digits;
  const unit = 10 ** decimals;
  const rounded = (value: number): number => Math.round(value * unit);
  const chosen = order.slice(0, most);
  const shown = chosen.map((at) => ({ at, value: terms[at] ?? 0, units: rounded(terms[at] ?? 0) }));
  let [sum, spread] = [0, 0];
  for (let i = 0; i < terms.length; i++) {
    sum += terms[i] ?? 0;
    spread += Math.abs(terms[i] ?? 0);
  }
  // a number that was put in does not follow from its terms: the difference is told apart, never hidden in "other"
  const changedUnits = Math.abs(total - sum) > ROUNDING * spread + 1e-9 ? rounded(total - sum) : 0;
  const otherUnits = rounded(total) - changedUnits - shown.reduce((all, term) => all + term.units, 0);
  const write = (units: number): string => minus((units / unit).toFixed(decimals).replace(/^-(0(?:\.0+)?)$/, '$1'));
  return {
    terms: shown.map(({ at, value, units }) => ({ at, value, shown: write(units) })),
    rest: order.length - chosen.length,
    other: otherUnits / unit,
    otherShown: write(otherUnits),
    changed: changedUnits / unit,
    changedShown: write(changedUnits),
    total,
    totalShown: write(rounded(total)),
    decimals,
  };
}
