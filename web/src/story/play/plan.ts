/** The film of one forward pass: its scenes in the order of the computation, for a picture of a given width. Pure. */
import { timed, type Plan } from './frame';
import { geometryOf } from './geometry';
import type { Material } from './material';
import { attention } from './scenes/attention';
import { ending } from './scenes/ending';
import { mlp } from './scenes/mlp';
import { opening, throughBlocks } from './scenes/opening';
import { fewerCols, type Sheet } from './sheet';

const NARROWEST = 320;

export function planOf(material: Material, width: number): Plan {
  const g = geometryOf(material, Math.max(NARROWEST, Math.round(width)));
  const m = fitted(material, g.stream.width, g.vector);
  const { n_layer } = m.config;
  const before = throughBlocks(m, g, 0, m.block, 'layers');
  const after = throughBlocks(m, g, m.block + 1, n_layer, 'layers');
  const scenes = [...opening(m, g), ...(before ? [before] : []), ...attention(m, g), ...mlp(m, g), ...(after ? [after] : []), ...ending(m, g)];
  const { scenes: all, lasts } = timed(scenes);
  return { width: g.width, height: g.height, lasts, scenes: all };
}

/** One pixel or more for each cell: where there are fewer pixels, each cell is the largest of its bin. */
function fitted(m: Material, stream: number, vector: number): Material {
  const most = Math.min(stream, vector);
  const fit = (sheet: Sheet): Sheet => fewerCols(sheet, most);
  const all = <T extends Record<string, Sheet | undefined>>(sheets: T): T =>
    Object.fromEntries(Object.entries(sheets).map(([name, sheet]) => [name, sheet && fit(sheet)])) as T;
  return { ...m, streams: m.streams.map(fit), sites: all(m.sites), optional: all(m.optional), parts: fit(m.parts), weights: all(m.weights) };
}
