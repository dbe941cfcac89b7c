/** The chosen piece flies to the end of the input: one move of 600 ms between two real places; none under reduced motion. */

const UNFOLD = 600;

/** Where the text of an input ends on the screen. */
export function endOf(input: HTMLInputElement, text: string): { x: number; y: number } {
  const style = getComputedStyle(input);
  const ctx = document.createElement('canvas').getContext('2d');
  const box = input.getBoundingClientRect();
  const left = box.left + parseFloat(style.paddingLeft);
  if (ctx) ctx.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const wide = ctx?.measureText(text).width ?? 0;
  return { x: Math.min(left + wide, box.right - 48), y: box.top + box.height / 2 };
}

/** `text` is what the input held before the piece. Ends by itself; nothing waits for it. */
export function fly(piece: string, from: DOMRect, text: string): void {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches || from.width === 0) return;
  const input = document.querySelector<HTMLInputElement>('header .sentence input');
  if (!input) return;
  const to = endOf(input, text);
  const flyer = document.createElement('span');
  flyer.className = 'piece flyer';
  flyer.textContent = piece;
  flyer.setAttribute('aria-hidden', 'true');
  flyer.style.left = `${from.left}px`;
  flyer.style.top = `${from.top}px`;
  document.body.append(flyer);
  const own = flyer.getBoundingClientRect();
  const move = flyer.animate(
    [{ transform: 'none', opacity: 1 }, { transform: `translate(${to.x - own.left}px, ${to.y - own.top - own.height / 2}px)`, opacity: 1 }],
    { duration: UNFOLD, easing: 'ease-in-out' },
  );
  const land = (): void => flyer.remove();
  move.finished.then(land, land);
}
