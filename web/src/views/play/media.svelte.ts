/** Whether a media query holds: less motion is asked for, the screen is narrow. */
export class Media {
  matches = $state(false);

  /** Make it while a component is made. */
  constructor(query: string) {
    $effect(() => {
      const list = matchMedia(query);
      const read = (): void => {
        this.matches = list.matches;
      };
      read();
      list.addEventListener('change', read);
      return () => list.removeEventListener('change', read);
    });
  }
}

export const LESS_MOTION = '(prefers-reduced-motion: reduce)';
export const NARROW = '(max-width: 719px)';
