/** The page's own keys; arrows belong to the focused grid, letters to a focused field. */
import type { Page } from './page.svelte';

export function onKey(page: Page, event: KeyboardEvent): void {
  const turn = turnOf(event);
  if (turn && !keepsItsOwn(event.target)) {
    event.preventDefault();
    page[turn]();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inField = event.target instanceof HTMLElement && event.target.closest('input, select, textarea') !== null;
  if (event.key === 'Escape') {
    if (inField) (event.target as HTMLElement).blur();
    else page.up();
    return;
  }
  if (inField) return;
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action(page);
}

function turnOf(event: KeyboardEvent): 'undo' | 'redo' | null {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (key === 'z') return event.shiftKey ? 'redo' : 'undo';
  return key === 'y' && event.ctrlKey ? 'redo' : null;
}

/** A field undoes its own letters, but for the sentence, whose letters are the address's. */
function keepsItsOwn(target: EventTarget | null): boolean {
  return typeof HTMLElement !== 'undefined' && target instanceof HTMLElement && target.closest('input:not([type=range]):not([type=checkbox]), textarea') !== null && target.closest('[data-undo="page"]') === null;
}

const ACTIONS: Record<string, (page: Page) => void> = {
  '[': (page) => stepBlock(page, -1),
  ']': (page) => stepBlock(page, 1),
  ',': (page) => stepHead(page, -1),
  '.': (page) => stepHead(page, 1),
  '?': (page) => page.go({ panel: page.address.panel === 'help' ? null : 'help' }),
};

function stepBlock(page: Page, by: number): void {
  const last = (page.session.model?.config.n_layer ?? 1) - 1;
  const from = page.block ?? (by > 0 ? -1 : last + 1);
  page.go({ block: Math.max(0, Math.min(last, from + by)) });
}

function stepHead(page: Page, by: number): void {
  const n = page.session.model?.config.n_head ?? 1;
  page.go({ head: (page.head + by + n) % n });
}
