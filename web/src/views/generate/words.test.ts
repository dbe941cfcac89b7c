import { expect, it } from 'vitest';
import { branchName, bytes, settings } from './words';

it('bytes have a unit that fits', () => {
  expect([640, 1000, 12_345, 99_950, 829_440, 4_147_200, 123_456_789].map(bytes)).toEqual(['640 bytes', '1.0 kB', '12.3 kB', '100.0 kB', '829 kB', '4.1 MB', '123 MB']);
});

it('settings that are off are not said', () => {
  const plain = { temperature: 1, top_k: null, top_p: 1, min_p: 0, seed: 3 };
  expect(settings(plain)).toBe('temperature 1, seed 3');
  expect(settings({ ...plain, temperature: 0 })).toBe('always the likeliest');
  expect(settings({ temperature: 0.8, top_k: 1000, top_p: 0.9, min_p: 0.1, seed: 0 })).toBe('temperature 0.8, top-k 1,000, top-p 0.9, min-p 0.1, seed 0');
});

it('branches are called by letters', () => {
  expect([0, 1, 25, 26, 27, 52].map(branchName)).toEqual(['a', 'b', 'z', 'aa', 'ab', 'ba']);
});
