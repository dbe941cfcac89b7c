/** What changes with every frame, told at most so often: for what nobody reads while the pointer moves, and which is dear to lay
 * out. The last value always comes.
 */
import { untrack } from 'svelte';

export function paced<T>(source: () => T, ms: number): { readonly value: T } {
  let value = $state.raw<T>(untrack(source));
  let told = -Infinity;
  $effect(() => {
    const now = source();
    const tell = (): void => {
      told = performance.now();
      value = now;
    };
    const wait = told + ms - performance.now();
    if (wait <= 0) {
      tell();
      return;
    }
    const timer = setTimeout(tell, wait);
    return () => clearTimeout(timer);
  });
  return {
    get value() {
      return value;
    },
  };
}
