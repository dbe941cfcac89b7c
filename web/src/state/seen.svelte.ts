/** Which rows of a tall picture are in sight. A long text has thousands of rows of 20 px: only those that can be seen, and
 * some on either side, are fetched and drawn; the picture keeps its whole height, so that scrolling stays what it is.
 *
 * `rowsInSight(rows, height)` gives the span and what to attach to the element that is `rows` × `height` px tall. Up to
 * `LONG` rows the span is all of them, and nothing is watched.
 */
import type { Attachment } from 'svelte/attachments';
import { CHUNK, LONG, type Span } from '../trace/rows';

/** a span starts and ends at a multiple of this, so that a little scrolling changes nothing */
const STEP = 16;

export interface Sight extends Span {
  /** the same in whole chunks, so that a little scrolling asks for nothing and paints nothing */
  readonly start: number;
  readonly end: number;
  readonly attach: Attachment<HTMLElement>;
}

/** The rows to draw when those from `top` to `bottom` are seen: as many again on either side. The span so far, while it will do. */
export function spanOf(top: number, bottom: number, rows: number, before: Span): Span {
  const margin = Math.max(STEP, bottom - top);
  const enough = (before.from === 0 || top - before.from >= margin / 4) && (before.to >= rows || before.to - bottom >= margin / 4);
  if (enough && top >= before.from && bottom <= before.to && before.to - before.from <= 4 * margin + 4 * STEP) return before;
  return {
    from: Math.max(0, Math.floor((top - margin) / STEP) * STEP),
    to: Math.min(rows, Math.ceil((bottom + margin) / STEP) * STEP),
  };
}

const watched = new Map<HTMLElement, () => void>();
let asked = 0;

/** Once a frame, however many pictures there are and whatever scrolls. */
function look(): void {
  asked ||= requestAnimationFrame(() => {
    asked = 0;
    for (const measure of watched.values()) measure();
  });
}

let sizes: ResizeObserver | null = null;

function watch(element: HTMLElement, measure: () => void): () => void {
  if (!watched.size) {
    // capturing: what scrolls may be any element around the picture
    addEventListener('scroll', look, { capture: true, passive: true });
    addEventListener('resize', look);
    sizes = new ResizeObserver(look);
  }
  watched.set(element, measure);
  // the first sight of an observed element is told, too
  for (let each: HTMLElement | null = element; each; each = each.parentElement) sizes?.observe(each);
  return () => {
    watched.delete(element);
    sizes?.unobserve(element);
    if (watched.size) return;
    removeEventListener('scroll', look, { capture: true });
    removeEventListener('resize', look);
    sizes?.disconnect();
    sizes = null;
  };
}

/** What of an element's height is not cut off by the window or by what scrolls around it, from its own top; the edge that is
 * nearest when all of it is. null: it has no height. */
function seenOf(element: HTMLElement): { top: number; bottom: number } | null {
  const own = element.getBoundingClientRect();
  let [top, bottom] = [Math.max(own.top, 0), Math.min(own.bottom, innerHeight)];
  for (let each = element.parentElement; each && each !== document.body; each = each.parentElement) {
    if (getComputedStyle(each).overflowY === 'visible') continue;
    const around = each.getBoundingClientRect();
    [top, bottom] = [Math.max(top, around.top), Math.min(bottom, around.bottom)];
  }
  if (own.height <= 0) return null;
  if (bottom <= top) top = bottom = top >= own.bottom ? own.bottom : own.top;
  return { top: top - own.top, bottom: bottom - own.top };
}

/** `rows` and `height` (CSS px of a row) are asked again whenever they may have changed. The span of a tall picture is empty until
 * it is known where it stands, a frame after it is there. */
export function rowsInSight(rows: () => number, height: () => number): Sight {
  let seen = $state.raw<Span>({ from: 0, to: 0 });
  const span = $derived.by<Span>(() => {
    const n = rows();
    if (n <= LONG) return { from: 0, to: n };
    // a shorter text than the one that was looked at
    return seen.from < n ? { from: seen.from, to: Math.min(n, seen.to) } : { from: Math.max(0, n - LONG / 2), to: n };
  });
  // numbers, not a span: who reads them is told when one changes, and not before
  const start = $derived(rows() > LONG ? Math.floor(span.from / CHUNK) * CHUNK : 0);
  const end = $derived(rows() > LONG ? Math.min(rows(), Math.ceil(span.to / CHUNK) * CHUNK) : rows());
  return {
    get start() {
      return start;
    },
    get end() {
      return end;
    },
    get from() {
      return span.from;
    },
    get to() {
      return span.to;
    },
    attach: (element) => {
      $effect(() => {
        const [n, tall] = [rows(), height()];
        if (n <= LONG) return;
        const measure = (): void => {
          const part = seenOf(element);
          if (part) seen = spanOf(Math.floor(part.top / tall), Math.min(n, Math.ceil(part.bottom / tall)), n, seen);
        };
        const stop = watch(element, measure);
        look();
        return stop;
      });
    },
  };
}
