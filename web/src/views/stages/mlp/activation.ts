/** The declared activation as a function, to draw its curve. Values of the model come from the server, never from here. */

const CURVES: Record<string, (x: number) => number> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  relu: (x) => Math.max(0, x),
  gelu_new: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
};

/** null: an activation whose curve this page does not know, so none is drawn. */
export function curveOf(activation: string): ((x: number) => number) | null {
  return CURVES[activation] ?? null;
}

/** Abramowitz and Stegun 7.1.26: within 1.5e-7, far below a pixel. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - poly * Math.exp(-x * x));
}
