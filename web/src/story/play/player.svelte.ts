/** The film's clock: where it stands, whether it runs, and how fast. Nothing here draws; a frame is `frameAt(plan, t)`. */
import { clamp, still, stepAt, TICK, type Plan } from './frame';

export const SPEEDS = [0.5, 1, 2, 4] as const;

export interface Clock {
  /** asks for the next moment to draw; gives the way to stop asking */
  next: (then: (milliseconds: number) => void) => () => void;
}

const SCREEN: Clock = {
  next: (then) => {
    const id = requestAnimationFrame(then);
    return () => cancelAnimationFrame(id);
  },
};
/** a tab that was away does not jump ahead when it comes back */
const LONGEST = 250;

export class Player {
  t = $state(0);
  playing = $state(false);
  speed = $state(1);
  private stop: (() => void) | null = null;
  private last: number | null = null;

  /** `plan`: the film as it is now; `onrest`: told where it stands when it stops, so that an address can keep it */
  constructor(
    private readonly planned: () => Plan | null,
    private readonly onrest: (t: number) => void = () => undefined,
    private readonly clock: Clock = SCREEN,
  ) {}

  get plan(): Plan | null {
    return this.planned();
  }

  get step(): number {
    return this.plan ? stepAt(this.plan, this.t) : 0;
  }

  get lasts(): number {
    return this.plan?.lasts ?? 0;
  }

  play(): void {
    if (this.playing || !this.plan) return;
    if (this.t >= this.lasts - TICK) this.t = 0;
    this.playing = true;
    this.last = null;
    this.ask();
  }

  pause(): void {
    this.stop?.();
    this.stop = null;
    if (!this.playing) return;
    this.playing = false;
    this.rest();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  /** To a time; running, it runs on from there. `done`: the hand has let go. */
  seek(t: number, done = true): void {
    this.t = clamp(t, 0, this.lasts);
    this.last = null;
    if (done && !this.playing) this.rest();
  }

  /** To the end of a step: forward first to the end of the one that is on its way; `stills`: which stands at its end already. */
  by(steps: 1 | -1, stills = false): void {
    const { plan } = this;
    if (!plan) return;
    this.pause();
    const here = this.step;
    const atEnd = stills || this.t >= still(plan, here);
    this.seek(still(plan, steps > 0 ? here + (atEnd ? 1 : 0) : here - 1));
  }

  private rest(): void {
    this.onrest(Math.round(this.t * 100) / 100);
  }

  private ask(): void {
    this.stop = this.clock.next((now) => {
      if (!this.playing) return;
      if (this.last !== null) this.t = Math.min(this.lasts, this.t + (Math.min(LONGEST, now - this.last) / 1000) * this.speed);
      this.last = now;
      if (this.t >= this.lasts) this.pause();
      else this.ask();
    });
  }
}
