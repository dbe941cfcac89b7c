/** Where the page was: addresses, one after another, for undo and redo. Pure, but for the time that it is told.
 *
 * A choice is a step. What replaces the address (typing, dragging) is one step for as long as it goes on without a
 * pause; so typing has steps too, which Back does not.
 */

const PAUSE = 800;
const MOST = 300;

export class Past {
  private readonly entries: string[];
  private at = 0;
  private last = -Infinity;

  constructor(first: string) {
    this.entries = [first];
  }

  /** The address has changed. `now` in milliseconds. */
  note(address: string, how: 'push' | 'replace', now: number): void {
    const goesOn = how === 'replace' && (now - this.last < PAUSE || moment(address) === moment(this.entries[this.at] ?? ''));
    this.last = now;
    if (address === this.entries[this.at]) return;
    this.entries.length = this.at + 1;
    if (goesOn) {
      this.entries[this.at] = address;
      // written and taken back: no step
      if (this.at && this.entries[this.at - 1] === address) this.entries.length = this.at--;
      return;
    }
    this.entries.push(address);
    if (this.entries.length > MOST) this.entries.shift();
    this.at = this.entries.length - 1;
  }

  /** Back or forward in the browser. */
  visited(address: string, now: number): void {
    if (this.entries[this.at - 1] === address) this.at--;
    else if (this.entries[this.at + 1] === address) this.at++;
    else this.note(address, 'push', now);
    this.last = -Infinity;
  }

  /** The address before, or after; null: there is none. */
  step(by: 1 | -1): string | null {
    const found = this.entries[this.at + by];
    if (found === undefined) return null;
    this.at += by;
    // what is typed next is a step of its own
    this.last = -Infinity;
    return found;
  }
}

/** All but where a film stands, which is no step. */
function moment(address: string): string {
  const query = new URLSearchParams(address);
  query.delete('t');
  return query.toString();
}
