/** Looking about in a square of a long text: which cell is meant, the magnified part around it and its row, each fetched as
 * it is needed; what was there stays until the next has come.
 *
 * Pointing at the whole moves the part; pointing into the part leaves it where it is. Where the pointer was, the part stays,
 * unless a cell is pinned: then it goes back to that.
 */
import { untrack } from 'svelte';
import { cutOf, partOf, type HeadOf, type Part } from '../../../trace/squares';
import { largest } from './attention';
import { around, FETCHED, holds, inside, moved, rowsWith, startOf, type Size, type Spot, type Window } from './long';
import { numberOf, Parts } from './parts.svelte';

export interface Row {
  of: HeadOf;
  query: number;
  /** all keys, for each site */
  data: readonly Float32Array[];
}

export interface Given<A extends Part> {
  of: () => HeadOf;
  /** queries and keys of the magnified part */
  size: () => Size;
  /** the selected query */
  pos: () => number;
  pinned: () => Spot | null;
  pointed: () => Spot | null;
  /** which site says what a query attends to, and whether its first key is passed over */
  shares: () => { site: number; aside: boolean };
  /** fetches what lies around a cell: queries from q, keys from k on */
  fetch: (of: HeadOf, q: number, k: number) => Promise<A>;
}

const KEPT_PARTS = 48;
const KEPT_ROWS = 24;

export class Looking<A extends Part> {
  private taken = $state.raw<Window | null>(null);
  private spot = $state.raw<Spot | null>(null);
  private readonly parts = new Parts<A>(KEPT_PARTS);
  private readonly rows = new Parts<Part>(KEPT_ROWS);
  private lastPart: { whole: A; cut: Part } | null = null;
  private lastRow: Row | null = null;
  private lastKey: number | null = null;

  readonly n = $derived.by(() => this.given.of().trace.nPos);
  readonly query = $derived.by(() => Math.min((this.given.pointed() ?? this.spot ?? this.given.pinned())?.query ?? this.given.pos(), this.n - 1));

  private readonly rowAt = $derived.by(() => ({ query: this.query, ...rowsWith(this.query, this.n, this.given.of().sites.length) }));
  /** the row of `query`; until it is there, the one before */
  readonly row = $derived.by<Row | null>(() => {
    const { query, from } = this.rowAt;
    const found = this.rows.get(`${this.name} ${from}`);
    if (found) this.lastRow = { of: found.of, query, data: found.data.map((all) => all.subarray((query - from) * found.cols, (query - from + 1) * found.cols)) };
    return this.lastRow;
  });

  /** the selected query, and what it attends to most */
  private readonly selected = $derived.by<Spot | null>(() => {
    const { site, aside } = this.given.shares();
    const query = Math.min(this.given.pos(), this.n - 1);
    const shares = this.row?.query === query ? this.row.data[site] : undefined;
    if (shares) this.lastKey = largest(shares, aside && query > 0 ? 0 : -1);
    return this.lastKey === null ? null : { query, key: Math.min(this.lastKey, this.n - 1) };
  });
  /** the cell that is meant */
  readonly focus = $derived.by<Spot | null>(() => this.known(this.given.pointed()) ?? this.known(this.spot) ?? this.known(this.given.pinned()) ?? this.selected);

  /** which cells the magnified part takes */
  readonly window = $derived.by<Window | null>(() => {
    const [size, pointed] = [this.given.size(), this.known(this.given.pointed())];
    const start = this.known(this.given.pinned()) ?? this.selected;
    const base = this.taken ? inside({ ...this.taken, ...size }, this.n) : start && around(start, size, this.n);
    return pointed && !(base && holds(base, pointed)) ? around(pointed, size, this.n) : base;
  });

  private readonly place = $derived.by(() => {
    const w = this.window;
    return w && { q: startOf(w.q, w.rows), k: startOf(w.k, w.cols) };
  });
  private readonly partKey = $derived(this.place && `${this.name} ${this.place.q} ${this.place.k}`);
  /** the magnified part, and what was fetched with it; until it is there, the one before */
  readonly part = $derived.by<{ whole: A; cut: Part } | null>(() => {
    const [w, whole] = [this.window, this.partKey === null ? null : this.parts.get(this.partKey)];
    if (w && whole) this.lastPart = { whole, cut: cutOf(whole, w.q, w.k, w.rows, w.cols) };
    return this.lastPart;
  });
  readonly failed = $derived.by(() => this.parts.failed || this.rows.failed);

  constructor(private readonly given: Given<A>) {
    $effect(() => {
      const [key, place, of] = [this.partKey, this.place, given.of()];
      if (key !== null && place) this.parts.want(key, () => given.fetch(of, place.q, place.k));
    });
    $effect(() => {
      const [{ from, rows }, of] = [this.rowAt, given.of()];
      this.rows.want(`${this.name} ${from}`, () => partOf(of, from, rows));
    });
    // another query or another pin: the part stays where it is, if they are in it
    let before = untrack(() => given.pos());
    $effect(() => {
      const query = given.pos();
      if (query === before) return;
      before = query;
      untrack(() => {
        const [w, focus] = [this.window, this.focus];
        const stays = w && focus && query >= w.q && query < w.q + w.rows;
        this.taken = stays ? w : null;
        this.spot = stays && holds(w, { query, key: focus.key }) ? { query, key: focus.key } : null;
      });
    });
    $effect(() => {
      const pinned = given.pinned();
      if (!pinned) return;
      untrack(() => {
        if (this.taken && !holds(this.taken, pinned)) this.taken = null;
        this.spot = null;
      });
    });
  }

  private get name(): string {
    const { trace, block, head, sites } = this.given.of();
    return `${numberOf(trace)} ${block} ${head} ${sites.length}`;
  }

  private known(spot: Spot | null): Spot | null {
    return spot && spot.query < this.n && spot.key < this.n ? spot : null;
  }

  /** The pointer left the picture of the whole. */
  leave(): void {
    if (!this.given.pinned()) return;
    this.taken = null;
    this.spot = null;
  }

  /** The pointer (or keys) in the magnified part. */
  inPart(spot: Spot | null): void {
    this.stay();
    const pinned = this.given.pinned();
    if (spot) this.spot = spot;
    else if (pinned && this.taken && holds(this.taken, pinned)) this.spot = null;
  }

  /** Looks at a cell: one that is pointed at in the picture of the whole, or that something is said of. */
  at(spot: Spot): void {
    this.taken = around(spot, this.given.size(), this.n);
    this.spot = spot;
  }

  /** The part stays where it is, whatever is chosen next. */
  stay(): void {
    this.taken = this.window;
  }

  /** Moves the part by so many queries and keys; false at the edge of the square. */
  move(queries: number, keys: number): boolean {
    const now = this.window;
    const next = now && moved(now, queries, keys, this.n);
    if (!now || !next || (next.q === now.q && next.k === now.k)) return false;
    this.taken = next;
    return true;
  }
}

/** What is fetched around a cell. */
export function fetched(of: HeadOf, q: number, k: number): Promise<Part> {
  return partOf(of, q, FETCHED, { k, cols: FETCHED });
}
