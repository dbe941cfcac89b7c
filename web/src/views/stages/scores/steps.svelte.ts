/** Where the slider of the scores stands, and what is said at each of its stops. */
import { short } from '../../../charts/format';
import type { Page } from '../../../state/page.svelte';
import { readOne, withOne } from '../attention/attention';
import { STEPS } from './load';
import { isWhatIf, type WhatIf } from './whatif';

const STOP = 'scores-at-';
const WHAT_IF = 'what-if-';
const LAST = STEPS.length - 1;

export class Steps {
  /** null: at rest */
  dragged = $state<number | null>(null);
  private readonly rest = $derived.by(() => Math.max(0, Math.min(LAST, Number(readOne(this.page.address.switches, STOP) ?? 0) || 0)));
  /** a stop of the address, or under the hand */
  readonly at = $derived(this.dragged ?? this.rest);
  readonly stop = $derived(Math.round(this.at));
  /** what is changed in a second run */
  readonly kind = $derived.by<WhatIf | null>(() => {
    const asked = readOne(this.page.address.switches, WHAT_IF);
    return isWhatIf(asked) ? asked : null;
  });

  constructor(private readonly page: Page) {}

  goTo(to: number): void {
    this.dragged = null;
    this.page.go({ switches: withOne(this.page.address.switches, STOP, to === 0 ? null : String(to)) }, 'replace');
  }

  /** What a change does is seen in the shares: the slider goes there. */
  choose(what: WhatIf | null): void {
    this.dragged = null;
    const switches = withOne(this.page.address.switches, WHAT_IF, what);
    this.page.go({ switches: what ? withOne(switches, STOP, String(LAST)) : switches }, 'replace');
  }
}

/** The stops' names. `kind`: of what is drawn, when it is a second run's. */
export function namesOf(dHead: number, kind: WhatIf | null): string[] {
  const root = `√${dHead}`;
  return ['q·k', kind === 'no-root' ? 'not divided' : `÷ ${root}`, kind === 'zero-before' ? 'mask 0' : kind === 'zero-after' ? 'no mask' : 'mask', 'softmax'];
}

/** `where`: which rows a mask is changed in, before a full stop: "" or " in the row of ·peace". */
export function saysOf(dHead: number, kind: WhatIf | null, where = ''): string[] {
  const root = `√${dHead}`;
  const value = short(Math.sqrt(dHead)).replace(/\.0+$/, '');
  return [
    'Each cell is one query times one key: the sum of their products, dimension by dimension.',
    kind === 'no-root' ? `The division by ${root} is switched off: the cells are as large as before.` : `Divided by ${root} = ${value}: a sum of ${dHead} products grows about as ${root}, and so scores keep one size for any head width. If one key takes all, nothing else is mixed in.`,
    kind === 'zero-before' ? `Where a query may not look there is now a 0${where}.` : kind === 'zero-after' ? `The mask is left out here${where}.` : 'Where a query may not look, the score becomes −∞, hatched.',
    kind === 'zero-after' ? `Shares of all keys${where}; then those where a query may not look are set to 0.` : 'Each row: e to the power of score − max, divided by the sum. Shares that add up to 1.',
  ];
}
