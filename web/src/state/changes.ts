/** Changes to a run, as the address spells them: `zero@blocks.23.attn.z(head=0)~scale(0.5)@blocks.3.mlp_out`. Pure.
 *
 * action, its arguments if it takes any, `@`, the site, and the selection if it is not the whole site. In brackets `;`
 * parts the entries, `,` the numbers of a list, `:` the ends of a slice.
 */
import type { SliceSpec } from '../protocol/types';

/** Another sentence's run of the same model, for `patch`; `pos`: where the value is taken there. */
export interface Source {
  text?: string;
  ids?: number[];
  pos?: number;
}

/** Rows of the embedding table, added and taken away, times `scale`: for `add`. */
export interface Direction {
  plus: number[];
  minus: number[];
  scale: number;
}

export type Place = number | number[] | SliceSpec;

/** As it goes to the server in `interventions`. */
export interface Change {
  action: string;
  site: string;
  selection?: Record<string, Place>;
  value?: number | number[];
  source?: Source;
  direction?: Direction;
}

export function formatChange(change: Change): string {
  const { action, site, selection, value, source, direction } = change;
  const args: string[] = [];
  if (value !== undefined) args.push([value].flat().join(','));
  if (source?.text !== undefined) args.push(`text:${escape(source.text)}`);
  if (source?.ids) args.push(`ids:${source.ids.join(',')}`);
  if (source?.pos !== undefined) args.push(`pos:${source.pos}`);
  if (direction) args.push(`plus:${direction.plus.join(',')}`, `minus:${direction.minus.join(',')}`, `scale:${direction.scale}`);
  const places = Object.entries(selection ?? {}).map(([axis, at]) => `${axis}=${formatPlace(at)}`);
  return `${action}${bracketed(args)}@${site}${bracketed(places)}`;
}

/** null where it makes no sense. */
export function parseChange(text: string): Change | null {
  const found = /^([a-z]+)(?:\(([^()]*)\))?@([A-Za-z*][\w.*]*)(?:\(([^()]*)\))?$/.exec(text);
  if (!found) return null;
  const [, action = '', args = '', site = '', places = ''] = found;
  const change: Change = { action, site };
  const selection: Record<string, Place> = {};
  for (const each of places.split(';').filter(Boolean)) {
    const [, axis = '', at = ''] = /^([a-z_]+)=(.+)$/.exec(each) ?? [];
    const place = parsePlace(at);
    if (place === null) return null;
    selection[axis] = place;
  }
  if (Object.keys(selection).length) change.selection = selection;
  for (const each of args.split(';').filter(Boolean)) if (!argument(change, each)) return null;
  return change;
}

export function formatChanges(changes: readonly Change[]): string {
  return changes.map(formatChange).join('~');
}

/** Any that makes no sense is left out. */
export function parseChanges(text: string): Change[] {
  return text.split('~').map(parseChange).filter((change) => change !== null);
}

const PLACES = ['pos', 'q_pos', 'k_pos'];

/** Those that name no position and no other sentence: they hold for any text. */
export function withoutPlaces(changes: readonly Change[]): Change[] {
  return changes.filter((change) => !change.source && !PLACES.some((axis) => change.selection?.[axis] !== undefined));
}

function argument(change: Change, text: string): boolean {
  const [, key, rest = ''] = /^(?:(text|ids|pos|plus|minus|scale):)?(.*)$/.exec(text) ?? [];
  const numbers = rest === '' ? [] : rest.split(',').map(Number);
  const [first] = numbers;
  if (key === 'text') {
    const said = unescape(rest);
    if (said === null) return false;
    change.source = { ...change.source, text: said };
    return true;
  }
  if (numbers.some((each, i) => !Number.isFinite(each) || rest.split(',')[i] === '')) return false;
  if (key === 'ids') change.source = { ...change.source, ids: numbers };
  else if (key === 'plus' || key === 'minus') change.direction = { plus: [], minus: [], scale: 1, ...change.direction, [key]: numbers };
  else if (first === undefined) return false;
  else if (key === 'pos') change.source = { ...change.source, pos: first };
  else if (key === 'scale') change.direction = { plus: [], minus: [], ...change.direction, scale: first };
  else change.value = rest.includes(',') ? numbers : first;
  return true;
}

function formatPlace(at: Place): string {
  if (typeof at === 'number') return String(at);
  if (Array.isArray(at)) return at.length === 1 ? `${at[0]},` : at.join(',');
  return `${at.start ?? ''}:${at.stop ?? ''}${at.step === null || at.step === undefined ? '' : `:${at.step}`}`;
}

function parsePlace(text: string): Place | null {
  if (/^-?\d+$/.test(text)) return Number(text);
  if (/^-?\d+(,-?\d+)*,?$/.test(text)) return text.split(',').filter(Boolean).map(Number);
  const slice = /^(-?\d+)?:(-?\d+)?(?::(-?\d+))?$/.exec(text);
  if (!slice) return null;
  const [start, stop, step] = slice.slice(1).map((each) => (each === undefined ? null : Number(each)));
  return { ...(start === null ? {} : { start }), ...(stop === null ? {} : { stop }), ...(step === null ? {} : { step }) } as SliceSpec;
}

function bracketed(entries: readonly string[]): string {
  return entries.length ? `(${entries.join(';')})` : '';
}

function escape(text: string): string {
  return encodeURIComponent(text).replace(/[~()!*']/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`);
}

function unescape(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
