/** The page's state as an address: everything that a view needs to be sent to somebody. Pure; `page.svelte.ts` keeps it. */
import { formatChanges, parseChanges, type Change } from './changes';

export const DEFAULT_TEXT = 'The robots will bring peace. The robots will bring';

/** Panels that stand in the left column's place, beside the picture. */
export const SIDE_PANELS: readonly string[] = ['find', 'change', 'generate', 'play', 'models'];

/** One number: a site (or parameter) and an index. The last of `pin` is looked at; those before it are breadcrumbs. */
export interface Pin {
  site: string;
  index: number[];
}

export interface Sampling {
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
  seed: number;
}

export interface Address {
  text: string;
  /** null: the server's default */
  model: string | null;
  /** a stop of the reading line; null: not following */
  stop: string | null;
  /** the opened block; null: all closed */
  block: number | null;
  head: number;
  /** the selected position; null: the last */
  pos: number | null;
  /** the unfolded stage; or a side panel's own pane, by the panel's id ("change", "change.sweep") */
  open: string | null;
  /** one panel at a time: "map", "help", or one of `SIDE_PANELS` */
  panel: string | null;
  /** the token whose logit is followed; null: the likeliest */
  token: number | null;
  pin: Pin[];
  /** switches that are not at their default, such as "first-token" or "transpose" */
  switches: string[];
  sampling: Sampling;
  /** so many pieces at the end of the text were written by the model: the next is drawn as that place of the output */
  written: number;
  /** the text's pieces, where typing it would give others (a text that was written need not be cut into its own pieces again) */
  ids: number[] | null;
  /** the context that writing is held to; null: the model's */
  window: number | null;
  /** what is changed in the run */
  changes: Change[];
  /** a second sentence, beside the first */
  other: string | null;
  /** a second model, beside the first */
  model2: string | null;
  /** the time of play, in seconds */
  t: number | null;
  /** what the Find panel looks for; null: heads by effect */
  find: string | null;
  /** what is searched there */
  query: string | null;
}

export const PLAIN: Address = {
  text: DEFAULT_TEXT, model: null, stop: null, block: null, head: 0, pos: null, open: null, panel: null, token: null,
  pin: [], switches: [], sampling: { temperature: 1, top_k: null, top_p: null, min_p: null, seed: 0 },
  written: 0, ids: null, window: null, changes: [], other: null, model2: null, t: null, find: null, query: null,
};

const NUMBERS = ['temperature', 'top_k', 'top_p', 'min_p', 'seed'] as const;

export function formatAddress(address: Address): string {
  const query = new URLSearchParams();
  if (address.text !== PLAIN.text) query.set('text', address.text);
  for (const key of ['model', 'stop', 'block', 'pos', 'open', 'panel', 'token', 'window', 'other', 'model2', 't', 'find', 'query'] as const) {
    const value = address[key];
    if (value !== null) query.set(key, String(value));
  }
  if (address.head !== 0) query.set('head', String(address.head));
  if (address.pin.length) query.set('pin', address.pin.map(formatPin).join('~'));
  if (address.switches.length) query.set('switches', [...address.switches].sort().join(','));
  for (const key of NUMBERS) {
    const value = address.sampling[key];
    if (value !== PLAIN.sampling[key] && value !== null) query.set(key, String(value));
  }
  if (address.written !== 0) query.set('written', String(address.written));
  if (address.ids) query.set('ids', address.ids.join(','));
  if (address.changes.length) query.set('changes', formatChanges(address.changes));
  // what these stand for is read the same with and without their percent signs
  const text = query.toString().replace(/%(3A|2C|7E|40|28|29|3B|3D)/g, (found) => decodeURIComponent(found));
  return text ? `?${text}` : '';
}

/** Reads an address; what makes no sense in it is left at its default, so that an old link still opens. */
export function parseAddress(search: string): Address {
  const query = new URLSearchParams(search);
  const name = (key: string): string | null => query.get(key) || null;
  const sampling = { ...PLAIN.sampling };
  for (const key of NUMBERS) {
    const value = amount(query.get(key));
    if (value !== null) sampling[key] = value;
  }
  return {
    text: query.get('text') ?? PLAIN.text,
    model: name('model'),
    stop: name('stop'),
    block: whole(query.get('block')),
    head: whole(query.get('head')) ?? 0,
    pos: whole(query.get('pos')),
    open: name('open'),
    panel: name('panel'),
    token: whole(query.get('token')),
    pin: (query.get('pin') ?? '').split('~').map(parsePin).filter((pin) => pin !== null),
    switches: (query.get('switches') ?? '').split(',').filter(Boolean),
    sampling,
    written: whole(query.get('written')) ?? 0,
    ids: numbers(query.get('ids')),
    window: whole(query.get('window')) || null,
    changes: parseChanges(query.get('changes') ?? ''),
    other: name('other'),
    model2: name('model2'),
    t: amount(query.get('t')),
    find: name('find'),
    query: name('query'),
  };
}

export function formatPin(pin: Pin): string {
  return `${pin.site}:${pin.index.join(',')}`;
}

export function parsePin(text: string): Pin | null {
  const found = /^([A-Za-z][\w.]*):(\d+(?:,\d+)*)$/.exec(text);
  return found ? { site: found[1] ?? '', index: (found[2] ?? '').split(',').map(Number) } : null;
}

export function samePin(a: Pin | undefined, b: Pin | undefined): boolean {
  return a !== undefined && b !== undefined && formatPin(a) === formatPin(b);
}

function whole(text: string | null): number | null {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function numbers(text: string | null): number[] | null {
  return text !== null && /^\d{1,9}(,\d{1,9})*$/.test(text) ? text.split(',').map(Number) : null;
}

function amount(text: string | null): number | null {
  return text !== null && /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : null;
}
