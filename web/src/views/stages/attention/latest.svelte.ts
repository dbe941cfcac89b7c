/** The newest answer of something that is asked again whenever what it reads changes; the last one stays meanwhile. */
export class Latest<T> {
  value = $state.raw<T | null>(null);
  /** one sentence, or empty */
  failed = $state('');

  /** `ask` runs in an effect; null from it means that there is nothing to ask. */
  constructor(ask: () => Promise<T> | null) {
    $effect(() => {
      const asked = ask();
      if (!asked) {
        this.value = null;
        this.failed = '';
        return;
      }
      let current = true;
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
      return () => (current = false);
    });
  }
}
