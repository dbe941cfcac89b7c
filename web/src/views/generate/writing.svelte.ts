/** What the Generate panel and its pane share for as long as the page is open: the tree, the run that goes on, and what it says.
 *
 * The text so far is always the page's own text: each step is shown by going to its address, so that everything beside the panel
 * is the ordinary trace of it, and Back goes back a piece. While a run goes on only the input follows.
 */
import { isAbort } from '../../protocol/client';
import type { CandidateAnswer, GenerateEnd, GenerateRequest, GenerateStart, StepAnswer, TokenizeAnswer } from '../../protocol/types';
import { formatChanges } from '../../state/changes';
import type { Page } from '../../state/page.svelte';
import { sentence } from '../../state/session.svelte';
import type { Trace } from '../../trace/trace';
import { droppedFor, findIds, follow, goTo, indexAfter, isAt, plant, take, tell, textTo, untold, windowTo, write, type By, type Tree } from './tree';

/** the longest guess of prompt lookup */
export const LOOKUP = 8;
/** a run pauses by itself after so many pieces */
export const AT_ONCE = 200;
const TOLD = 20;
/** milliseconds between two addresses of a run: browsers refuse more than a few a second */
const KEEP_EVERY = 500;
const KEPT_TREES = 8;

export class Writing {
  tree = $state.raw<Tree | null>(null);
  running = $state(false);
  error = $state<string | null>(null);
  /** pieces and seconds of the run that goes on, or went on last */
  pace = $state.raw<{ pieces: number; seconds: number } | null>(null);
  private older: Tree[] = [];
  private stop: AbortController | null = null;
  private shows = 0;

  constructor(private readonly page: Page) {}

  /** What is written under, as the address has it. */
  get by(): By {
    const { sampling, changes, window } = this.page.address;
    return { ...sampling, lookup: this.page.on('lookup'), window, changes: formatChanges(changes) };
  }

  /** How many positions the model may see. */
  get window(): number {
    const model = this.page.session.model;
    return Math.min(this.page.address.window ?? Infinity, model?.config.n_ctx ?? Infinity, model?.max_tokens ?? Infinity);
  }

  /** Whether this is the trace of the text so far. */
  isHere(trace: Trace): boolean {
    const { tree } = this;
    return tree?.model === trace.model.name && isAt(tree, tree.at, trace.tokens.map((token) => token.id), this.window);
  }

  /** The page's text is another one now: a place in this tree, in one that was left, or a new prompt. */
  sync(trace: Trace): void {
    if (this.running) return;
    const ids = trace.tokens.map((token) => token.id);
    const model = trace.model.name;
    for (const tree of [this.tree, ...this.older]) {
      const found = tree?.model === model ? findIds(tree, ids, this.window) : null;
      if (!tree || found === null) continue;
      if (tree !== this.tree) this.keep(tree);
      if (tree.at !== found) this.tree = goTo(tree, found);
      return;
    }
    this.keep(plant(model, trace.manifest.text, trace.tokens, this.page.address.written));
  }

  /** Chances of pieces that came with the address, from the trace of the text so far. */
  async ask(trace: Trace): Promise<void> {
    if (!this.tree || !untold(this.tree)) return;
    const { losses } = await trace.surprise();
    if (this.tree && this.isHere(trace)) this.tree = tell(this.tree, losses);
  }

  private keep(tree: Tree): void {
    this.older = [this.tree, ...this.older].filter((each): each is Tree => each !== null && each.nodes.length > 1 && each !== tree).slice(0, KEPT_TREES);
    this.tree = tree;
    this.error = null;
  }

  /** Writes up to `most` pieces behind the text so far; gives those that came. */
  async run(most: number): Promise<StepAnswer[]> {
    const start = this.tree;
    if (!start || this.running) return [];
    const { by, page, window } = this;
    let left = droppedFor(start, start.at, window) - (start.nodes[start.at]?.dropped ?? 0);
    const request: GenerateRequest = {
      model: start.model,
      ids: windowTo(start, start.at, window).map((token) => token.id),
      interventions: page.address.changes,
      settings: {
        max_new_tokens: most, temperature: by.temperature, top_k: by.top_k, top_p: by.top_p, min_p: by.min_p, seed: by.seed,
        lookup: by.lookup ? LOOKUP : 0, n_ctx: by.window, index: indexAfter(start, start.at),
      },
      k: TOLD,
    };
    const own = (this.stop = new AbortController());
    [this.running, this.error] = [true, null];
    const came: StepAnswer[] = [];
    const began = performance.now();
    let said = page.draft;
    let elsewhere = false;
    let last = began;
    try {
      for await (const { event, data } of page.session.client.events<GenerateStart | StepAnswer | GenerateEnd>('/api/generate', request, own.signal)) {
        // somebody wrote in the input, or went elsewhere: what they wrote counts
        if ((elsewhere = page.draft !== said)) break;
        if (event !== 'step' || !this.tree) continue;
        const step = data as StepAnswer;
        came.push(step);
        this.tree = write(this.tree, step, by, left);
        left = 0;
        page.draft = said = textTo(this.tree, this.tree.at, window);
        const now = performance.now();
        this.pace = { pieces: came.length, seconds: (now - began) / 1000 };
        if (now - last >= KEEP_EVERY) {
          last = now;
          const { at } = this.tree;
          page.writes(said, windowTo(this.tree, at, window).map((token) => token.id), indexAfter(this.tree, at));
        }
      }
    } catch (error) {
      if (!isAbort(error)) this.error = sentence(error);
    } finally {
      this.running = false;
    }
    if (!elsewhere && page.draft === said && came.length) await this.show();
    return came;
  }

  pause(): void {
    this.stop?.abort();
  }

  /** Another candidate instead of what was, or would be, drawn. */
  async take(candidate: CandidateAnswer): Promise<void> {
    if (this.tree) await this.move(take(this.tree, candidate, this.by));
  }

  async goTo(id: number): Promise<void> {
    if (this.tree) await this.move(goTo(this.tree, id));
  }

  async follow(leaf: number): Promise<void> {
    if (this.tree) await this.move(follow(this.tree, leaf));
  }

  private async move(tree: Tree): Promise<void> {
    this.pause();
    this.tree = tree;
    this.error = null;
    await this.show();
  }

  /** The text so far as the page's text; by its ids where typing it would give other pieces. */
  private async show(): Promise<void> {
    const { tree, page, window } = this;
    if (!tree) return;
    const turn = ++this.shows;
    const text = textTo(tree, tree.at, window);
    const ids = windowTo(tree, tree.at, window).map((token) => token.id);
    page.draft = text;
    let typed: number[] = [];
    try {
      typed = (await page.session.client.post<TokenizeAnswer>('/api/tokenize', { model: tree.model, text })).tokens.map((token) => token.id);
    } catch {
      // a text that cannot be typed has its ids
    }
    if (turn !== this.shows || page.draft !== text) return;
    page.wrote(text, typed.join() === ids.join() ? null : ids, indexAfter(tree, tree.at));
  }
}

const kept = new WeakMap<Page, Writing>();

export function writingOf(page: Page): Writing {
  let found = kept.get(page);
  if (!found) kept.set(page, (found = new Writing(page)));
  return found;
}
