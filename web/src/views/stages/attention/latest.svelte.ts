/** The newest answer of something that is asked again whenever what it reads changes; the last one stays meanwhile. */
import { untrack } from 'svelte';

export class Latest<T> {
  value = $state.raw<T | null>(null);
  /** one sentence, or empty */
  failed = $state('');

  /** `ask` runs in an effect: what it reads is what it depends on. It gives how to ask, or null when there is nothing to
   * ask. `pause`: milliseconds to wait for a pointer that is only passing. */
  constructor(ask: () => (() => Promise<T>) | null, pause = 0) {
    $effect(() => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const how = ask();
      if (!how) {
        this.value = null;
        this.failed = '';
        return;
      }
      let current = true;
      // its own answer is nothing that it asks for
      const waited = pause && untrack(() => this.value) !== null ? new Promise<void>((go) => (timer = setTimeout(go, pause))) : null;
      const asked = waited ? waited.then(how) : how();
      asked.then(
        (value) => {
          if (!current) return;
          this.value = value;
          this.failed = '';
        },
        (error: unknown) => {
          if (current && error instanceof Error) this.failed = error.message;
        },
      );
      return () => {
        current = false;
        clearTimeout(timer);
      };
    });
  }
}
