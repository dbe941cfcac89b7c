/** The stylesheet's colours for canvases, read once and again when light and dark change. */
import type { Palette } from './scales';

const NAMES = ['ground', 'ink', 'muted', 'rule', 'wash', 'negative', 'positive', 'share', 'lit', 'q', 'k', 'v', 'attention', 'mlp', 'residual'] as const;
export type Role = 'q' | 'k' | 'v' | 'attention' | 'mlp' | 'residual';
export type FullPalette = Palette & Record<Role | 'wash', string>;

class Colours {
  current = $state.raw<FullPalette>(read());

  constructor() {
    if (typeof matchMedia !== 'function') return;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.refresh());
  }

  refresh(): void {
    this.current = read();
  }
}

function read(): FullPalette {
  const colours = Object.fromEntries(NAMES.map((name) => [name, 'rgb(128, 128, 128)'])) as unknown as FullPalette;
  if (typeof document === 'undefined') return colours;
  // a custom property's computed value is its text; a colour is only resolved where it is used
  const probe = document.createElement('span');
  probe.hidden = true;
  document.documentElement.append(probe);
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

let made: Colours | null = null;

export function palette(): FullPalette {
  return (made ??= new Colours()).current;
}

/** After the reader chose light or dark. */
export function refreshPalette(): void {
  made?.refresh();
}
