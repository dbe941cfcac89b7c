/** Colour scales: signed values to ±c, shares on a square root. Pure; colours come in as a `Palette`. */
import { interpolateRgb } from 'd3-interpolate';
import { scaleSqrt, scaleSymlog } from 'd3-scale';

export interface Palette {
  ground: string; ink: string; muted: string; rule: string; negative: string; positive: string; share: string; lit: string;
}

export type Rgb = readonly [number, number, number];

export interface ColourScale {
  kind: 'signed' | 'share';
  /** the value that gets the full colour */
  bound: number;
  /** the largest |value| there is: printed in the legend */
  most: number;
  rgb(value: number): Rgb;
  /** the same, as a canvas takes it */
  css(value: number): string;
  /** beyond the bound: drawn saturated, with a notch */
  beyond(value: number): boolean;
}

const STEPS = 255;

export function signedScale(
  palette: Palette,
  bound: number,
  options: { most?: number; symlog?: boolean } = {},
): ColourScale {
  const c = bound > 0 && Number.isFinite(bound) ? bound : 1;
  const most = options.most ?? c;
  // symlog reaches to the true maximum, linear up to a hundredth of c: nothing saturates
  const top = options.symlog ? Math.max(most, c) : c;
  const place = options.symlog ? scaleSymlog().constant(c / 100).domain([0, top]).range([0, 1]) : (size: number) => size / top;
  const below = table(palette.ground, palette.negative);
  const above = table(palette.ground, palette.positive);
  return {
    kind: 'signed',
    bound: top,
    most,
    rgb: (value) => at(value < 0 ? below : above, place(Math.abs(value))).rgb,
    css: (value) => at(value < 0 ? below : above, place(Math.abs(value))).css,
    beyond: (value) => Math.abs(value) > top,
  };
}

export const SHARE_TICKS = [0, 0.01, 0.1, 0.5, 1] as const;

/** Shares 0 to `top` (1, unless a column was set aside) on a square root. */
export function shareScale(palette: Palette, top = 1): ColourScale {
  const colours = table(palette.ground, palette.share);
  const place = scaleSqrt().domain([0, top]).range([0, 1]);
  return {
    kind: 'share',
    bound: top,
    most: top,
    rgb: (value) => at(colours, place(value)).rgb,
    css: (value) => at(colours, place(value)).css,
    beyond: (value) => value > top,
  };
}

/** c of VISUAL.md from the rows themselves: the median over rows of each row's 99th percentile of |x|. */
export function colourBound(data: ArrayLike<number>, rows: number, cols: number): number {
  const tops: number[] = [];
  for (let row = 0; row < rows; row++) {
    const sizes: number[] = [];
    for (let col = 0; col < cols; col++) {
      const size = Math.abs(data[row * cols + col] ?? NaN);
      if (Number.isFinite(size)) sizes.push(size);
    }
    if (sizes.length) tops.push(percentile(sizes.sort((a, b) => a - b), 0.99));
  }
  return tops.length ? percentile(tops.sort((a, b) => a - b), 0.5) : 0;
}

/** Linear between the two nearest, as NumPy's default. */
function percentile(sorted: readonly number[], p: number): number {
  const at = (sorted.length - 1) * p;
  const low = Math.floor(at);
  const a = sorted[low] ?? 0;
  const b = sorted[Math.min(low + 1, sorted.length - 1)] ?? a;
  return a + (b - a) * (at - low);
}

interface Step {
  rgb: Rgb;
  css: string;
}

const MISSING: Step = { rgb: [0, 0, 0], css: 'rgb(0, 0, 0)' };

function at(steps: readonly Step[], share: number): Step {
  return steps[Math.max(0, Math.min(STEPS, Math.round(share * STEPS)))] ?? MISSING;
}

// a picture of 30 blocks asks for the same few pairs of colours 30 times
const tables = new Map<string, Step[]>();

function table(from: string, to: string): Step[] {
  const key = `${from} ${to}`;
  let steps = tables.get(key);
  if (!steps) {
    const mix = interpolateRgb(from, to);
    steps = Array.from({ length: STEPS + 1 }, (_, i) => {
      const css = mix(i / STEPS);
      const found = /(\d+), (\d+), (\d+)/.exec(css);
      return { rgb: [Number(found?.[1]), Number(found?.[2]), Number(found?.[3])] as const, css };
    });
    tables.set(key, steps);
  }
  return steps;
}
