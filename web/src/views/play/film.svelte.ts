/** The film that the panel steers and the pane shows: one for a page. */
import type { Plan } from '../../story/play/frame';
import { loadMaterial, type Follow, type Material } from '../../story/play/material';
import { planOf } from '../../story/play/plan';
import { Player } from '../../story/play/player.svelte';
import { sentence } from '../../state/session.svelte';
import type { Page } from '../../state/page.svelte';
import type { Trace } from '../../trace/trace';

const WIDTH = 840;

export class Film {
  /** CSS pixels for the picture */
  width = $state(WIDTH);
  material = $state.raw<Material | null>(null);
  failed = $state('');
  /** it is on its way */
  waiting = $state(false);
  readonly player: Player;
  private made: { material: Material; width: number; plan: Plan } | null = null;
  private wanted: string | null = null;
  private of: Trace | null = null;

  constructor(onrest: (t: number) => void) {
    this.player = new Player(() => this.plan, onrest);
  }

  /** Kept by hand: the film outlives the components that show it, which a $derived made by one of them would not. */
  get plan(): Plan | null {
    const { material, width } = this;
    if (!material) return null;
    if (this.made?.material !== material || this.made.width !== width) this.made = { material, width, plan: planOf(material, width) };
    return this.made.plan;
  }

  /** Fetches what the film of this trace is made of, once; the last one stays until it is there. */
  follow(trace: Trace, follow: Follow): void {
    const key = JSON.stringify(follow);
    if (this.of === trace && this.wanted === key) return;
    [this.of, this.wanted] = [trace, key];
    this.waiting = true;
    const current = (): boolean => this.of === trace && this.wanted === key;
    loadMaterial(trace, follow).then(
      (material) => {
        if (!current()) return;
        this.material = material;
        this.failed = '';
        this.waiting = false;
      },
      (error: unknown) => {
        if (!current()) return;
        this.failed = sentence(error);
        this.waiting = false;
        this.wanted = null;
      },
    );
  }
}

const films = new WeakMap<Page, Film>();

export function filmOf(page: Page): Film {
  let film = films.get(page);
  if (!film) {
    // where it stands is no step of Back
    film = new Film((t) => page.side === 'play' && page.go({ t }, 'replace'));
    films.set(page, film);
  }
  return film;
}
