/** The page's one store: the address, the session with the server, what is pointed at, and which cells are lit.
 *
 * Components get it with `usePage()`. Everything that can be shared by a link is in `page.address`; change it with
 * `page.go({...})` alone.
 */
import { getContext, setContext } from 'svelte';
import { Client } from '../protocol/client';
import { templateOf, type Sampling as Settings, type Trace } from '../trace/trace';
import { formatAddress, parseAddress, samePin, SIDE_PANELS, type Address, type Pin } from './address';
import { Lit } from './lit.svelte';
import { Past } from './past';
import { Session } from './session.svelte';

/** What is hovered or focused: one number, and where on the screen it stands. */
export interface Pointed extends Pin {
  value: number;
  /** the cell's box in the window, for the small label beside it */
  box: { left: number; top: number; width: number; height: number } | null;
}

// the first letter goes at once; while an answer is on its way, letters are joined
const TYPING_PAUSE = 25;
const NARROW = '(max-width: 719px)';

export class Page {
  address = $state.raw<Address>(parseAddress(''));
  pointed = $state.raw<Pointed | null>(null);
  readonly lit = new Lit();
  readonly session: Session;
  /** what the input shows: ahead of `address.text` while somebody types */
  draft = $state('');
  private readonly past: Past;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** the window's address is ahead of the page's: pieces that are being written */
  private ahead = false;

  constructor(
    client?: Client,
    private readonly window: Window & typeof globalThis = globalThis.window,
  ) {
    this.session = new Session(client);
    this.address = parseAddress(window.location.search);
    this.draft = this.address.text;
    this.past = new Past(formatAddress(this.address));
  }

  get trace(): Trace | null {
    return this.session.trace;
  }

  /** The selected position: the address's, or the last. */
  get pos(): number {
    const n = this.trace?.nPos ?? 1;
    return Math.min(this.address.pos ?? n - 1, n - 1);
  }

  get head(): number {
    return Math.min(this.address.head, (this.session.model?.config.n_head ?? 1) - 1);
  }

  get block(): number | null {
    const { block } = this.address;
    return block === null ? null : Math.min(block, (this.session.model?.config.n_layer ?? 1) - 1);
  }

  /** How the piece behind the selected position is drawn: the address's settings, and the piece's place in the output. */
  get drawn(): Settings {
    const { sampling, written } = this.address;
    const { temperature, seed, top_k, top_p, min_p } = sampling;
    const index = Math.max(0, written - ((this.trace?.nPos ?? 1) - 1 - this.pos));
    return { temperature, seed, index, top_k: top_k ?? undefined, top_p: top_p ?? undefined, min_p: min_p ?? undefined };
  }

  /** The panel in the left column's place, if one is open. */
  get side(): string | null {
    const { panel } = this.address;
    return panel !== null && SIDE_PANELS.includes(panel) ? panel : null;
  }

  /** The open side panel's own pane in the stage's place, as `open` names it: "change", "change.sweep". */
  get pane(): string | null {
    const { open } = this.address;
    return this.side && open?.split('.')[0] === this.side ? open : null;
  }

  get pin(): Pin | null {
    return this.address.pin.at(-1) ?? null;
  }

  on(name: string): boolean {
    return this.address.switches.includes(name);
  }

  /** Listens to Back, and asks for the first trace. Gives the way to stop. */
  start(): () => void {
    const back = (): void => {
      this.ahead = false;
      this.address = parseAddress(this.window.location.search);
      this.draft = this.address.text;
      this.past.visited(formatAddress(this.address), performance.now());
      void this.ask();
    };
    this.window.addEventListener('popstate', back);
    void this.ask();
    return () => {
      clearTimeout(this.timer);
      this.window.removeEventListener('popstate', back);
    };
  }

  /** Changes the address. A choice becomes a step of Back; typing replaces. */
  go(change: Partial<Address>, how: 'push' | 'replace' = 'push'): void {
    // pieces that were written belong to their text and model
    const other = (change.text !== undefined || change.model !== undefined) && change.ids === undefined;
    const next = { ...this.address, ...(other ? { ids: null, written: 0 } : {}), ...change };
    const before = formatAddress(this.address);
    const after = formatAddress(next);
    this.address = next;
    if (before === after) return;
    this.past.note(after, how, performance.now());
    const url = this.window.location.pathname + after;
    // what was ahead has had its step of Back
    const push = how === 'push' && !this.ahead;
    this.ahead = false;
    if (push) this.window.history.pushState(null, '', url);
    else this.window.history.replaceState(null, '', url);
    if (change.text !== undefined || change.model !== undefined || change.changes !== undefined) void this.ask();
  }

  /** The page as it was a step before: what was written, changed, opened, pinned. */
  undo(): void {
    this.retrace(-1);
  }

  redo(): void {
    this.retrace(1);
  }

  private retrace(by: 1 | -1): void {
    clearTimeout(this.timer);
    const found = this.past.step(by);
    if (found === null) return;
    const asked = runOf(this.address);
    this.ahead = false;
    this.address = parseAddress(found);
    this.draft = this.address.text;
    this.window.history.replaceState(null, '', this.window.location.pathname + found);
    if (runOf(this.address) !== asked) void this.ask();
  }

  /** Opens a side panel, or closes it (null); what was the last one's alone goes with it. */
  besides(panel: string | null): void {
    this.go({ panel, ...(this.pane ? { open: null } : {}), ...(panel === 'play' ? {} : { t: null }) });
  }

  /** Shows something in the stage's place from a panel. The panel stays, unless it is a screen of its own (narrow). */
  unfold(change: Partial<Address>): void {
    const narrow = this.window.matchMedia?.(NARROW).matches ?? false;
    this.go({ panel: narrow ? null : this.side, ...change });
  }

  /** A keystroke. What was pinned or selected by position belongs to the old sentence; a weight is every sentence's. */
  type(text: string): void {
    this.draft = text;
    clearTimeout(this.timer);
    if (!this.session.busy) this.go(this.typed(text), 'replace');
    else this.timer = setTimeout(() => this.go(this.typed(text), 'replace'), TYPING_PAUSE);
  }

  /** The text as the model went on with it, `written` pieces long; `ids` where typing it would give others. A step of Back. */
  wrote(text: string, ids: number[] | null, written: number): void {
    this.draft = text;
    clearTimeout(this.timer);
    this.go({ text, ids, written, pin: this.weights(), pos: null, token: null });
  }

  /** Pieces that are being written, for a reload to find: in the window's address alone, since the page follows when they are all
   * there. The first time is a step of Back, which `wrote` then takes over. */
  writes(text: string, ids: number[], written: number): void {
    const url = this.window.location.pathname + formatAddress({ ...this.address, text, ids, written, pin: this.weights(), pos: null, token: null });
    if (this.ahead) this.window.history.replaceState(null, '', url);
    else this.window.history.pushState(null, '', url);
    this.ahead = true;
  }

  private typed(text: string): Partial<Address> {
    return { text, pin: this.weights(), pos: null, token: null };
  }

  private weights(): Pin[] {
    const { pin } = this.address;
    const parameters = this.session.model?.parameters ?? [];
    return pin.filter((each) => parameters.some((row) => row.template === templateOf(each.site))).slice(-1);
  }

  toggle(name: string): void {
    const { switches } = this.address;
    this.go({ switches: this.on(name) ? switches.filter((each) => each !== name) : [...switches, name] });
  }

  show(pointed: Pointed | null): void {
    this.pointed = pointed;
  }

  /** Pins a number. `follow`: it is an input of the one pinned now, so that stays as a breadcrumb. */
  pinTo(pin: Pin, follow = false): void {
    if (samePin(pin, this.pin ?? undefined)) return;
    this.go({ pin: follow ? [...this.address.pin, pin] : [pin] });
  }

  unpin(): void {
    this.go({ pin: [] });
  }

  /** Esc: one step up. */
  up(): void {
    const { panel, pin, open, block, stop } = this.address;
    if (panel && !this.side) this.go({ panel: null });
    else if (pin.length) this.go({ pin: [] });
    else if (this.pane) this.go({ open: null });
    else if (panel) this.besides(null);
    else if (open) this.go({ open: null });
    else if (block !== null) this.go({ block: null });
    else if (stop) this.go({ stop: null });
  }

  private ask(): Promise<void> {
    const { text, model, changes, ids } = this.address;
    return this.session.ask(text, model, changes, ids);
  }
}

/** What another trace has to be asked for. */
function runOf({ text, model, changes, ids }: Address): string {
  return JSON.stringify([text, model, changes, ids]);
}

const KEY = Symbol('page');

export function providePage(page: Page): Page {
  return setContext(KEY, page);
}

export function usePage(): Page {
  return getContext<Page>(KEY);
}
