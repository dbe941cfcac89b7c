/** Where a vector's stripe stands: a name at its left, its numbers at its right; on a narrow screen both above it. Pure. */

export interface Layout {
  /** name and numbers stand above the stripe */
  narrow: boolean;
  /** CSS pixels of the stripe */
  width: number;
  /** where it starts */
  left: number;
}

export const NAME = 148;
export const NOTE = 148;
const NARROWEST = 640;

/** `n` elements in `room` CSS pixels: whole pixels for each where they fit, so that all look equally wide. */
export function layout(room: number, n: number): Layout {
  const narrow = room < NARROWEST;
  const free = Math.max(120, Math.floor(narrow ? room : room - NAME - NOTE));
  const each = Math.floor(free / Math.max(1, n));
  // a short vector does not grow into a poster
  const width = each >= 1 ? Math.max(Math.min(free, 240), each * n) : free;
  return { narrow, width: Math.min(width, free), left: narrow ? 0 : NAME };
}

/** The middle of element `at`, from the stripe's left edge. */
export function middleOf(at: number, n: number, width: number): number {
  return ((at + 0.5) / Math.max(1, n)) * width;
}
