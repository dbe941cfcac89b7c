import { expect, it } from 'vitest';
import { frameAt, still, timed, type Plan } from './frame';
import { Player, type Clock } from './player.svelte';

const scenes = [1, 2, 3].map((lasts) => ({ id: `s${lasts}`, stop: 'text', title: '', words: [], lasts, main: null, draw: () => [] }));
const plan: Plan = { width: 100, height: 100, ...timed(scenes) };

function made(): { player: Player; run: (milliseconds: number, every?: number) => void; rested: number[] } {
  let waiting: ((now: number) => void) | null = null;
  let now = 1000;
  const clock: Clock = { next: (then) => { waiting = then; return () => { waiting = null; }; } };
  const rested: number[] = [];
  const run = (milliseconds: number, every = 20): void => {
    for (const until = now + milliseconds; now < until; ) {
      const then = waiting;
      waiting = null;
      then?.(now);
      now += every;
    }
  };
  return { player: new Player(() => plan, (t) => rested.push(t), clock), run, rested };
}

it('plays, pauses, and says where it rests', () => {
  const { player, run, rested } = made();
  player.play();
  run(1020);
  expect(player.t).toBeCloseTo(1, 1);
  player.pause();
  const at = player.t;
  run(500);
  expect(player.t).toBe(at);
  expect(rested).toEqual([Math.round(at * 100) / 100]);
});

it('plays faster, ends at its end, and then begins again', () => {
  const { player, run } = made();
  player.speed = 4;
  player.play();
  run(1900);
  expect([player.t, player.playing]).toEqual([6, false]);
  player.play();
  run(20);
  expect(player.t).toBeLessThan(0.5);
});

it('runs on from where it is dragged', () => {
  const { player, run, rested } = made();
  player.play();
  run(200);
  player.seek(4, false);
  run(220);
  expect(player.t).toBeCloseTo(4.2, 1);
  expect(rested).toEqual([]);
  player.seek(99);
  expect(player.t).toBe(6);
});

it('does not jump ahead when its tab was away', () => {
  const { player, run } = made();
  player.play();
  run(60);
  run(10_000, 5000);
  expect(player.t).toBeLessThan(1);
});

it('steps to the ends of steps', () => {
  const { player } = made();
  player.seek(0.3);
  player.by(1);
  expect(player.t).toBe(still(plan, 0));
  player.by(1);
  expect(player.t).toBe(still(plan, 1));
  player.by(-1);
  expect([player.t, frameAt(plan, player.t).step]).toEqual([still(plan, 0), 0]);
  player.by(-1);
  expect(player.step).toBe(0);
  player.seek(0);
  player.by(1, true);
  expect(player.step).toBe(1);
  player.seek(still(plan, 2));
  player.by(1);
  expect(player.step).toBe(2);
});
