/** The one feature or neuron that a stage follows: the pinned one, else the one last pointed at, else the strongest. */
import type { Pin } from '../../../state/address';

const LINGER = 100;

export function followed(ask: {
  pin: () => Pin | null;
  hover: () => Pin | null;
  /** which one a place stands for; null: none of ours */
  pick: (place: Pin) => number | null;
  fallback: () => number;
}): { readonly at: number } {
  let seen = $state<number | null>(null);
  $effect(() => {
    const hover = ask.hover();
    const found = hover && ask.pick(hover);
    if (found === null) return;
    // a pointer on its way across a stripe asks for nothing
    const timer = setTimeout(() => (seen = found), LINGER);
    return () => clearTimeout(timer);
  });
  return {
    get at(): number {
      const pin = ask.pin();
      return (pin && ask.pick(pin)) ?? seen ?? ask.fallback();
    },
  };
}
