import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? sources(path) : /\.(ts|svelte|css)$/.test(name) ? [path] : [];
  });
}
const files = sources(import.meta.dirname);
// spelled apart, so that this file does not find itself
const FORBIDDEN: [string, RegExp][] = [
  ['a number that did not come from the model', new RegExp('Math\\s*\\.\\s*' + 'random|Math\\[.' + 'random')],
  ['markup from a string', new RegExp('\\{@' + 'html|inner' + 'HTML|insertAdjacent' + 'HTML')],
  ['an inline style, which the content policy stops', new RegExp('<[^>]*\\sstyle' + '="')],
  ['something from another machine', new RegExp('https?:' + '//(?!www\\.w3\\.org)')],
];

it('there is something to look through', () => {
  expect(files.length).toBeGreaterThan(20);
});

it.each(FORBIDDEN)('no view holds %s', (_, pattern) => {
  expect(files.filter((path) => pattern.test(readFileSync(path, 'utf-8')))).toEqual([]);
});

it('source files stay under 400 lines', () => {
  const long = files.filter((path) => !path.endsWith('types.ts') && readFileSync(path, 'utf-8').split('\n').length > 400);
  expect(long).toEqual([]);
});
