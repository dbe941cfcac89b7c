/** Panels beside the stages: `views/<id>/<Name>Pane.svelte` is shown while the address says `panel=<id>`, one at a time;
 * `views/<id>/<Name>Door.svelte`, a small button, leads there from below the whole. Both take `{ trace }`.
 */
import type { Component } from 'svelte';
import type { Trace } from '../trace/trace';

export interface PanelProps {
  trace: Trace;
}

const panes = import.meta.glob<{ default: Component<PanelProps> }>('./*/*Pane.svelte');
const found = import.meta.glob<{ default: Component<PanelProps> }>('./*/*Door.svelte', { eager: true });

export const PANELS: ReadonlyMap<string, () => Promise<{ default: Component<PanelProps> }>> = new Map(
  Object.entries(panes).map(([path, load]) => [path.split('/')[1] ?? '', load]),
);

export const DOORS: readonly Component<PanelProps>[] = Object.values(found).map((each) => each.default);
