/** Reads the framing of safetensors: typed views over the bytes that came, never a copy, after every number in the
 * header has been checked against the size of what is there. The server writes F32 and I32 alone, 8-byte aligned. */

export interface RawTensor {
  dtype: 'F32' | 'I32';
  shape: number[];
  data: Float32Array | Int32Array;
}

export interface Frame {
  tensors: Map<string, RawTensor>;
  metadata: Record<string, string>;
}

export class BadFrame extends Error {
  override name = 'BadFrame';
}

const LONGEST_HEADER = 32 * 1024 * 1024;

export function readSafetensors(buffer: ArrayBuffer): Frame {
  if (buffer.byteLength < 8) throw new BadFrame(`expected at least 8 bytes, got ${buffer.byteLength}`);
  const length = new DataView(buffer).getBigUint64(0, true);
  if (length > BigInt(Math.min(LONGEST_HEADER, buffer.byteLength - 8))) {
    throw new BadFrame(`the header says it is ${length} bytes long; the answer has ${buffer.byteLength}`);
  }
  const start = 8 + Number(length);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(buffer, 8, Number(length))));
  } catch {
    throw new BadFrame('the header is not JSON in UTF-8');
  }
  if (!isRecord(header)) throw new BadFrame('the header is not an object');
  const tensors = new Map<string, RawTensor>();
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isRecord(entry)) throw new BadFrame('the metadata is not an object');
      metadata = Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, String(value)]));
    } else {
      tensors.set(name, view(buffer, start, name, entry));
    }
  }
  return { tensors, metadata };
}

function view(buffer: ArrayBuffer, start: number, name: string, entry: unknown): RawTensor {
  if (!isRecord(entry)) throw new BadFrame(`${name}: no entry`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (dtype !== 'F32' && dtype !== 'I32') throw new BadFrame(`${name}: dtype ${String(dtype)}; expected F32 or I32`);
  if (!wholeNumbers(shape)) throw new BadFrame(`${name}: a shape is a list of whole numbers`);
  if (!wholeNumbers(offsets) || offsets.length !== 2) throw new BadFrame(`${name}: data_offsets are two whole numbers`);
  const [from, to] = offsets as [number, number];
  const count = shape.reduce((product, n) => product * n, 1);
  if (to - from !== count * 4 || start + to > buffer.byteLength) {
    throw new BadFrame(`${name}: ${count} numbers do not fit bytes ${from} to ${to} of ${buffer.byteLength - start}`);
  }
  if ((start + from) % 4) throw new BadFrame(`${name}: starts at byte ${start + from}, not at a multiple of 4`);
  const data = dtype === 'F32' ? new Float32Array(buffer, start + from, count) : new Int32Array(buffer, start + from, count);
  return { dtype, shape, data };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wholeNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}
