import { describe, expect, it } from 'vitest';
import { Parts } from './parts.svelte';

/** Answers that come when they are told to. */
function slowly(): { ask: (key: string) => () => Promise<string>; asked: string[]; answer: () => Promise<void>; fail: () => Promise<void> } {
  const asked: string[] = [];
  let now: { resolve: () => void; reject: () => void } | null = null;
  const settle = async (how: 'resolve' | 'reject'): Promise<void> => {
    now?.[how]();
    await new Promise((go) => setTimeout(go));
  };
  return {
    asked,
    ask: (key) => () => {
      asked.push(key);
      return new Promise((resolve, reject) => (now = { resolve: () => resolve(`is ${key}`), reject: () => reject(new Error('no')) }));
    },
    answer: () => settle('resolve'),
    fail: () => settle('reject'),
  };
}

globalThis.document ??= { hidden: true } as Document;

describe('Parts', () => {
  it('has one request under way, and the newest wish next', async () => {
    const { ask, asked, answer } = slowly();
    const parts = new Parts<string>(8);
    for (const key of ['a', 'b', 'c', 'd']) parts.want(key, ask(key));
    expect(asked).toEqual(['a']);
    await answer();
    expect(asked).toEqual(['a', 'd']);
    expect([parts.get('a'), parts.get('b'), parts.get('d')]).toEqual(['is a', null, null]);
    await answer();
    expect(parts.get('d')).toBe('is d');
    expect(asked).toEqual(['a', 'd']);
  });

  it('asks for nothing that is there, or on its way', async () => {
    const { ask, asked, answer } = slowly();
    const parts = new Parts<string>(8);
    parts.want('a', ask('a'));
    parts.want('b', ask('b'));
    parts.want('a', ask('a'));
    await answer();
    parts.want('a', ask('a'));
    expect(asked).toEqual(['a']);
  });

  it('keeps the last so many that were looked at', async () => {
    const { ask, answer } = slowly();
    const parts = new Parts<string>(2);
    for (const key of ['a', 'b', 'a', 'c']) {
      parts.want(key, ask(key));
      await answer();
    }
    expect([parts.get('a'), parts.get('b'), parts.get('c')]).toEqual(['is a', null, 'is c']);
  });

  it('says what went wrong, and goes on', async () => {
    const { ask, asked, answer, fail } = slowly();
    const parts = new Parts<string>(2);
    parts.want('a', ask('a'));
    await fail();
    expect(parts.failed).toBe('no');
    parts.want('b', ask('b'));
    await answer();
    expect([parts.failed, parts.get('b')]).toEqual(['', 'is b']);
    parts.want('a', ask('a'));
    expect(asked).toEqual(['a', 'b', 'a']);
  });
});
