/** Numbers as the page writes them: three significant digits, a real minus sign, exact on demand. */

export const MINUS = '−';
const SUPERSCRIPT = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** Three significant digits: 21.6, −0.00312, 23,000, 1.2×10⁻⁷. */
export function short(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : `${MINUS}∞`;
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return scientific(value, digits);
  const exponent = Math.floor(Math.log10(size));
  if (exponent >= digits) {
    const unit = 10 ** (exponent - digits + 1);
    return grouped((Math.round(value / unit) * unit).toFixed(0));
  }
  return minus(value.toPrecision(digits));
}

/** The shortest decimal that is this float32 and no other. */
export function exact(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return short(value);
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === Math.fround(value)) return minus(plainDecimal(text));
  }
  return minus(String(value));
}

/** 40%, 3.2%, 0.041%; never 100% or 0% for what is not. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return '–';
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}%`;
  if (value >= 99.95) return '>99.9%';
  if (value >= 99.5) return `${value.toFixed(1)}%`;
  if (value >= 9.95) return `${value.toFixed(0)}%`;
  if (value >= 0.995) return `${value.toFixed(1)}%`;
  if (value >= 0.01) return `${value.toPrecision(2)}%`;
  return '<0.01%';
}

/** 49,152 */
export function count(value: number): string {
  return grouped(Math.round(value).toFixed(0));
}

export function minus(text: string): string {
  return text.replace('-', MINUS);
}

function grouped(whole: string): string {
  return minus(whole).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

function scientific(value: number, digits: number): string {
  const [mantissa = '', exponent = '0'] = value.toExponential(digits - 1).split('e');
  const power = Number(exponent);
  const raised = [...String(Math.abs(power))].map((digit) => SUPERSCRIPT[Number(digit)] ?? '').join('');
  return `${minus(mantissa)}×10${power < 0 ? '⁻' : ''}${raised}`;
}

function plainDecimal(text: string): string {
  const number = Number(text);
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-6 || size >= 1e15)) return text;
  return text.includes('e') ? number.toString() : text;
}
