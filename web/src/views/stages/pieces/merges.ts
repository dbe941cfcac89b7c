/** Byte-pair merges as rows of a picture: how a word stands after each step, over the pieces that it began with. Pure. */
import type { TokenAnswer, WordAnswer } from '../../../protocol/types';

export interface Segment {
  /** columns of the start pieces: `from` included, `to` not */
  from: number;
  to: number;
  token: TokenAnswer;
  /** made by this step */
  fresh: boolean;
}

/** Row 0 is the start; row k stands after k merges. */
export function rowsOf(word: WordAnswer): Segment[][] {
  let row: Segment[] = word.start.map((token, i) => ({ from: i, to: i + 1, token, fresh: false }));
  const rows = [row];
  for (const merge of word.merges) {
    const at = row.findIndex((segment) => segment.from === merge.at);
    const left = row[at];
    const right = row[at + 1];
    if (!left || !right) break;
    row = [
      ...row.slice(0, at).map(settled),
      { from: left.from, to: right.to, token: merge.result, fresh: true },
      ...row.slice(at + 2).map(settled),
    ];
    rows.push(row);
  }
  return rows;
}

function settled(segment: Segment): Segment {
  return segment.fresh ? { ...segment, fresh: false } : segment;
}

export interface Placed {
  word: WordAnswer;
  /** positions in the trace: `from` included, `to` not */
  from: number;
  to: number;
}

/** Where each word's tokens stand among the trace's; what the tokenizer put in front of a text belongs to no word. */
export function placeWords(words: readonly WordAnswer[], ids: readonly number[]): Placed[] {
  const flat = words.flatMap((word) => word.tokens);
  for (let offset = 0; offset + flat.length <= ids.length; offset++) {
    if (!flat.every((id, i) => ids[offset + i] === id)) continue;
    let at = offset;
    return words.map((word) => ({ word, from: at, to: (at += word.tokens.length) }));
  }
  return [];
}

/** "206d" -> "20 6D" */
export function spacedBytes(hex: string): string {
  return (hex.toUpperCase().match(/../g) ?? []).join(' ');
}

/** Whether a token's bytes are characters, and not a part of one. */
export function wholeCharacters(hex: string): boolean {
  const bytes = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
