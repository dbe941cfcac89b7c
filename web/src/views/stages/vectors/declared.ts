/** What a model declares about a site, with the block filled in. */
import { blockOf, templateOf, type Trace } from '../../../trace/trace';

export interface Declared {
  name: string;
  kind: string;
}

/** The declared inputs of a site by full name, such as the parameters that a norm has. */
export function inputsOf(trace: Trace, site: string): Declared[] {
  const row = trace.model.sites.find((each) => each.template === templateOf(site));
  const block = blockOf(site);
  const inputs = (block === 0 ? row?.first_inputs : null) ?? row?.inputs ?? [];
  return inputs.map(({ name, kind }) => ({
    name: block === null ? name : name.replace('{i}', String(block)).replace('{i-1}', String(block - 1)),
    kind,
  }));
}

export function latexOf(trace: Trace, site: string): string {
  return trace.model.sites.find((row) => row.template === templateOf(site))?.latex ?? '';
}
