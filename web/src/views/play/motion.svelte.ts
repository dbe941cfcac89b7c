/** Whether the reader asked for less motion. */
export class Motion {
  reduced = $state(false);

  /** Call it while a component is made. */
  constructor() {
    $effect(() => {
      const query = matchMedia('(prefers-reduced-motion: reduce)');
      const read = (): void => {
        this.reduced = query.matches;
      };
      read();
      query.addEventListener('change', read);
      return () => query.removeEventListener('change', read);
    });
  }
}
