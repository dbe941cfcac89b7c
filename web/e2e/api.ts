/** The API as the tests ask it, beside the page: what it answers is what the page has to show. */
import { readSafetensors } from '../src/protocol/safetensors';
import type {
  AttributionAnswer, ExplainAnswer, HeadsAnswer, LensAnswer, Manifest, ModelAnswer, ModelList, NextAnswer, SurpriseAnswer,
} from '../src/protocol/types';
import { modelPath, search, type Query } from '../src/protocol/client';

export interface Values {
  shape: number[];
  data: Float32Array;
}

export class Api {
  constructor(readonly site: string) {}

  async json<T>(path: string, query: Query = {}): Promise<T> {
    return (await (await this.ask(path + search(query))).json()) as T;
  }

  async trace(text: string): Promise<Manifest> {
    const { default: model } = await this.json<ModelList>('/api/models');
    const answer = await this.ask('/api/traces', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model, text }),
    });
    return (await answer.json()) as Manifest;
  }

  async model(): Promise<ModelAnswer> {
    const { default: model } = await this.json<ModelList>('/api/models');
    return this.json(`/api/models/${modelPath(model)}`);
  }

  async values(trace: Manifest, site: string, query: Query = {}): Promise<Values> {
    const answer = await this.ask(`/api/traces/${trace.id}/sites${search({ names: site, ...query })}`);
    const tensor = readSafetensors(await answer.arrayBuffer()).tensors.get(site);
    if (!tensor || !(tensor.data instanceof Float32Array)) throw new Error(`no ${site} in the answer`);
    return { shape: tensor.shape, data: tensor.data };
  }

  /** One number of a site, out of its safetensors. */
  async value(trace: Manifest, site: string, index: readonly number[]): Promise<number> {
    const { shape, data } = await this.values(trace, site);
    return data[index.reduce((at, i, axis) => at * (shape[axis] ?? 1) + i, 0)] ?? NaN;
  }

  next(trace: Manifest, position = trace.n_pos - 1, query: Query = {}): Promise<NextAnswer> {
    return this.json(`/api/traces/${trace.id}/next`, { position, ...query });
  }

  explain(trace: Manifest, site: string, index: readonly number[]): Promise<ExplainAnswer> {
    return this.json(`/api/traces/${trace.id}/explain`, { site, index: index.join(',') });
  }

  surprise(trace: Manifest): Promise<SurpriseAnswer> {
    return this.json(`/api/traces/${trace.id}/surprise`);
  }

  heads(trace: Manifest, query: Query = {}): Promise<HeadsAnswer> {
    return this.json(`/api/traces/${trace.id}/heads`, query);
  }

  lens(trace: Manifest, token: number, position = trace.n_pos - 1): Promise<LensAnswer> {
    return this.json(`/api/traces/${trace.id}/lens`, { position, tokens: token });
  }

  attribution(trace: Manifest, token: number, position = trace.n_pos - 1): Promise<AttributionAnswer> {
    return this.json(`/api/traces/${trace.id}/attribution`, { position, token });
  }

  private async ask(path: string, init?: RequestInit): Promise<Response> {
    const answer = await fetch(this.site + path, init);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
}
