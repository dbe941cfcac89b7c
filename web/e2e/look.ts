/** How the tests look at the page: open an address, read its pictures, and compare what is drawn with what is so. */
import { expect, type Locator, type Page } from '@playwright/test';
import { exact, percent, short } from '../src/charts/format';
import { templateOf } from '../src/trace/trace';
import type { Manifest, ModelAnswer } from '../src/protocol/types';
import { readSafetensors } from '../src/protocol/safetensors';
import { modelPath, search } from '../src/protocol/client';
import type { Api, Values } from './api';

/** The first trace of a fresh server reads the weights, on a machine that may be busy. */
export const SLOW = 45_000;

export interface Cell {
  site: string;
  index: number[];
  value: number;
}

export interface Picture {
  site: string;
  name: string;
  rows: number;
  cols: number;
  cells: Cell[];
}

/** What the page writes beside a number that stands in the document. */
export interface Written {
  site: string;
  index: number[];
  text: string;
}

/** The address with `query`, its sentence traced and the whole drawn. */
export async function open(page: Page, site: string, query: Record<string, string | number> = {}): Promise<void> {
  await page.goto(`${site}/?${new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)])).toString()}`);
  await drawn(page);
}

/** Another address on the open page, as Back would bring it: quicker than loading the page again. */
export async function visit(page: Page, query: Record<string, string | number>): Promise<void> {
  await page.evaluate((search) => {
    history.pushState(null, '', `/?${search}`);
    window.dispatchEvent(new PopStateEvent('popstate'));
  }, new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)])).toString());
  await drawn(page);
}

export async function drawn(page: Page): Promise<void> {
  // on a narrow screen the whole may wait behind a stage, and both behind a panel
  await expect(page.locator('.whole [role=option]')).not.toHaveCount(0, { timeout: SLOW });
  await expect(page.locator('[aria-label=Candidates]')).not.toHaveCount(0, { timeout: SLOW });
  await expect(page.locator('.waiting')).toHaveCount(0, { timeout: SLOW });
  await expect(page.locator('.busy.on')).toHaveCount(0, { timeout: SLOW });
}

/** Nothing is on its way any more. */
export async function settled(page: Page): Promise<void> {
  await drawn(page);
  await page.waitForLoadState('networkidle', { timeout: SLOW });
}

export async function stage(page: Page, id: string): Promise<Locator> {
  const found = page.locator(`[data-stage=${id}]`);
  await expect(found).toBeVisible({ timeout: SLOW });
  await expect(found.locator('.content > *').first()).toBeVisible({ timeout: SLOW });
  await drawn(page);
  return found;
}

/** Every picture on canvas within `scope`, with some of its cells: the corners and some between. */
export function pictures(scope: Locator): Promise<Picture[]> {
  return scope.locator('[aria-roledescription=matrix]').evaluateAll((elements) =>
    elements.map((element) => {
      const hook = (element as HTMLElement & { __cutaway?: { site: string; rows: number; cols: number; cell(row: number, col: number): Cell } }).__cutaway;
      const name = element.getAttribute('aria-label') ?? '';
      if (!hook) return { site: '', name, rows: 0, cols: 0, cells: [] };
      const { site, rows, cols } = hook;
      const at = [[0, 0], [rows - 1, cols - 1], [rows >> 1, cols >> 1], [rows - 1, 0], [rows >> 1, cols >> 2]];
      const cells = at.map(([row = 0, col = 0]) => {
        const { index, value } = hook.cell(row, col);
        return { site, index, value };
      });
      return { site, name, rows, cols, cells };
    }),
  );
}

/** Every number in the document that says where it stands; marks (a dot on a curve) are drawn, not written. */
export function written(scope: Locator): Promise<Written[]> {
  return scope.locator('[data-site][data-index]:not([role=application])').evaluateAll((elements) =>
    elements.filter((element) => !element.closest('svg') && !element.querySelector('svg')).map((element) => ({
      site: element.getAttribute('data-site') ?? '',
      index: (element.getAttribute('data-index') ?? '').split(',').map(Number),
      text: `${element.textContent} ${element.getAttribute('data-value') ?? ''} ${element.getAttribute('aria-label') ?? ''}`,
    })),
  );
}

/** The numbers of one trace by name and index, sites and weights alike, each asked for once. */
export class Truth {
  private readonly kept = new Map<string, Promise<Values>>();

  private constructor(
    readonly api: Api,
    readonly trace: Manifest,
    readonly model: ModelAnswer,
  ) {}

  static async of(api: Api, text: string): Promise<Truth> {
    const [trace, model] = await Promise.all([api.trace(text), api.model()]);
    return new Truth(api, trace, model);
  }

  isSite(name: string): boolean {
    return this.model.sites.some((row) => row.template === templateOf(name));
  }

  isWeight(name: string): boolean {
    return this.model.parameters.some((row) => row.template === templateOf(name));
  }

  async value(name: string, index: readonly number[]): Promise<number> {
    if (this.isSite(name)) {
      const { shape, data } = await this.once(name, () => this.api.values(this.trace, name));
      expect(index.length, `axes of ${name}`).toBe(shape.length);
      return data[index.reduce((at, i, axis) => at * (shape[axis] ?? 1) + i, 0)] ?? NaN;
    }
    const row = this.model.parameters.find((each) => each.template === templateOf(name));
    if (!row) throw new Error(`${name} is neither a site nor a weight of ${this.model.name}`);
    const selection = Object.fromEntries(row.axes.map((axis, i) => [axis, index[i] ?? 0]));
    const found = await this.once(`${name}:${index.join()}`, async () => {
      const answer = await fetch(`${this.api.site}/api/models/${modelPath(this.model.name)}/parameters/${name}${search(selection)}`);
      if (!answer.ok) throw new Error(await answer.text());
      const [tensor] = readSafetensors(await answer.arrayBuffer()).tensors.values();
      return { shape: tensor?.shape ?? [], data: tensor?.data as Float32Array };
    });
    return found.data[0] ?? NaN;
  }

  private once(key: string, ask: () => Promise<Values>): Promise<Values> {
    const found = this.kept.get(key) ?? ask();
    this.kept.set(key, found);
    return found;
  }
}

/** Presses the middle of one cell of a picture on canvas. */
export async function press(picture: Locator, row: number, col: number, how: 'click' | 'hover' = 'click'): Promise<Cell> {
  const at = await picture.evaluate((element, [r = 0, c = 0]) => {
    element.scrollIntoView({ block: 'center' });
    return (element as unknown as { __cutaway: { cell(row: number, col: number): Cell & { x: number; y: number } } }).__cutaway.cell(r, c);
  }, [row, col]);
  await picture[how]({ position: { x: at.x, y: at.y } });
  return at;
}

/** Whether a number is among those that a text writes, to as many digits as it writes. */
export function says(text: string, value: number): boolean {
  if (!Number.isFinite(value)) return text.includes(short(value));
  if ([short(value), percent(value), exact(value)].some((each) => text.includes(each))) return true;
  return [...text.matchAll(/−?\d[\d,]*(?:\.(\d+))?/g)].some(([all, decimals = '']) => Math.abs(number(all) - value) <= 0.5000001 * 10 ** -decimals.length);
}

export function number(text: string): number {
  return Number(text.replace(/−/g, '-').replace(/,/g, '').replace(/%$/, ''));
}
