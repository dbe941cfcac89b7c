/** A frame of the film: marks with their places, opacities and fills. `frameAt` is a pure function of the plan (made of
 * one trace) and the time. Nothing but position, opacity and fill ever moves, and fills go from one number of the
 * model to another.
 */
import type { Part } from '../stops';
import type { Sheet } from './sheet';

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Placement extends Box {
  /** rows run to the right, as in Kᵀ */
  turned?: boolean;
}

/** Which cells go first: all at once, row by row, or cell by cell. */
export type Order = 'all' | 'rows' | 'cells';

export interface CellsMark {
  kind: 'cells';
  id: string;
  sheet: Sheet;
  /** what the fill is on its way to, and how far */
  next: Sheet | null;
  mix: number;
  at: Placement;
  /** where it is on its way to, and how far */
  to: Placement | null;
  move: number;
  opacity: number;
  /** 0 to 1 of the cells are there */
  shown: number;
  order: Order;
  /** a cell that is there before the others, row-major */
  first: number | null;
}

/** Inks are roles of the stylesheet. */
export type Ink = 'ink' | 'muted' | 'lit' | 'q' | 'k' | 'v' | 'attention' | 'mlp' | 'residual' | 'share' | 'rule' | 'wash' | 'ground';

export interface TextMark {
  kind: 'text';
  id: string;
  x: number;
  y: number;
  text: string;
  anchor: 'start' | 'middle' | 'end';
  ink: Ink;
  opacity: number;
  size: number;
  mono: boolean;
  strong: boolean;
  /** the number that is written, and where it stands */
  value?: number;
  site?: string;
  index?: number[];
}

export interface RectMark extends Box {
  kind: 'rect';
  id: string;
  ink: Ink;
  opacity: number;
  /** an outline instead of a fill */
  line: boolean;
  value?: number;
  site?: string;
  index?: number[];
}

export type Mark = CellsMark | TextMark | RectMark;

export interface Scene {
  id: string;
  /** the stop of the reading line that it belongs to */
  stop: string;
  title: string;
  words: readonly Part[];
  /** seconds */
  lasts: number;
  /** the picture that is read as a table, and walked with arrows */
  main: Sheet | null;
  /** the marks at `seconds` since the scene began */
  draw: (seconds: number) => Mark[];
}

export interface Timed extends Scene {
  start: number;
  end: number;
}

export interface Plan {
  width: number;
  height: number;
  /** in all, in seconds */
  lasts: number;
  scenes: readonly Timed[];
}

export interface Frame {
  t: number;
  /** the scene's number: a step */
  step: number;
  stop: string;
  title: string;
  words: readonly Part[];
  main: Sheet | null;
  marks: readonly Mark[];
}

/** what is left of a scene when all its motion is done: its still */
const REST = 0.02;
/** times are kept to hundredths, in the address too */
export const TICK = 0.01;

export function timed(scenes: readonly Scene[]): { scenes: Timed[]; lasts: number } {
  let at = 0;
  const found = scenes.map((scene) => {
    const start = at;
    at = hundredths(at + scene.lasts);
    return { ...scene, start, end: at };
  });
  return { scenes: found, lasts: at };
}

export function frameAt(plan: Plan, t: number): Frame {
  const at = hundredths(clamp(t, 0, plan.lasts));
  const step = stepAt(plan, at);
  const scene = plan.scenes[step];
  if (!scene) return { t: at, step: 0, stop: '', title: '', words: [], main: null, marks: [] };
  const seconds = Math.min(at - scene.start, scene.lasts);
  return { t: at, step, stop: scene.stop, title: scene.title, words: scene.words, main: scene.main, marks: scene.draw(seconds) };
}

export function stepAt(plan: Plan, t: number): number {
  const found = plan.scenes.findIndex((scene) => t < scene.end);
  return found < 0 ? plan.scenes.length - 1 : found;
}

/** The end of a step: what stands there when its motion is done. */
export function still(plan: Plan, step: number): number {
  const scene = plan.scenes[Math.max(0, Math.min(plan.scenes.length - 1, step))];
  return scene ? hundredths(scene.end - TICK) : 0;
}

/** Where a stop of the reading line begins, in its last run where it has several; null: this model has no such step. */
export function startOf(plan: Plan, stop: string): number | null {
  const last = plan.scenes.findLastIndex((scene) => scene.stop === stop);
  if (last < 0) return null;
  let first = last;
  while (plan.scenes[first - 1]?.stop === stop) first--;
  return plan.scenes[first]?.start ?? null;
}

/** From 0 to 1 between two moments of a scene that lasts `lasts`, gently; done a little before its end. */
export function between(seconds: number, from: number, to: number): number {
  const p = clamp((seconds - from) / Math.max(1e-6, to - REST - from), 0, 1);
  return p * p * (3 - 2 * p);
}

/** The same without slowing down at the ends. */
export function evenly(seconds: number, from: number, to: number): number {
  return clamp((seconds - from) / Math.max(1e-6, to - REST - from), 0, 1);
}

/** How far a cell is when the whole is at `progress`. */
export function progressOf(mark: Pick<CellsMark, 'order' | 'sheet'>, progress: number, row: number, col: number): number {
  if (mark.order === 'all' || progress <= 0 || progress >= 1) return clamp(progress, 0, 1);
  const { rows, cols } = mark.sheet;
  const [n, at] = mark.order === 'rows' ? [rows, row] : [rows * cols, row * cols + col];
  // a quarter of the time for one, the rest for the others to follow
  const own = mark.order === 'rows' ? 0.4 : 0.1;
  return clamp((progress - (1 - own) * (at / Math.max(1, n - 1))) / own, 0, 1);
}

/** Where a cell stands. */
export function cellPlace(mark: CellsMark, row: number, col: number): Box {
  const from = inPlacement(mark.at, mark.sheet, row, col);
  if (!mark.to) return from;
  const p = progressOf(mark, mark.move, row, col);
  if (p <= 0) return from;
  const to = inPlacement(mark.to, mark.sheet, row, col);
  return p >= 1 ? to : { x: mix(from.x, to.x, p), y: mix(from.y, to.y, p), width: mix(from.width, to.width, p), height: mix(from.height, to.height, p) };
}

function inPlacement(at: Placement, { rows, cols }: Sheet, row: number, col: number): Box {
  if (at.turned) return { x: at.x + (row * at.width) / rows, y: at.y + (col * at.height) / cols, width: at.width / rows, height: at.height / cols };
  return { x: at.x + (col * at.width) / cols, y: at.y + (row * at.height) / rows, width: at.width / cols, height: at.height / rows };
}

/** How visible a cell is: of what is there already, the first. */
export function cellShown(mark: CellsMark, row: number, col: number): number {
  if (mark.first === row * mark.sheet.cols + col) return 1;
  return progressOf(mark, mark.shown, row, col);
}

export function mix(a: number, b: number, p: number): number {
  return a + (b - a) * p;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

function hundredths(t: number): number {
  return Math.round(t * 100) / 100;
}
