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
  total: number;
  totalShown: string;
  decimals: number;
}

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
  const otherUnits = rounded(total) - shown.reduce((sum, term) => sum + term.units, 0);
  const write = (units: number): string => minus((units / unit).toFixed(decimals).replace(/^-(0(?:\.0+)?)$/, '$1'));
  return {
    terms: shown.map(({ at, value, units }) => ({ at, value, shown: write(units) })),
    rest: order.length - chosen.length,
    other: otherUnits / unit,
    otherShown: write(otherUnits),
    total,
    totalShown: write(rounded(total)),
    decimals,
  };
}
