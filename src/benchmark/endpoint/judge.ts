// Owns asking a judge: replies kept by content, failed attempts told from a judge that is not there;
// scoring drives it with the questions of pure scorers.
import { EXIT_CODES, GapvlError, RuntimeError } from '../../errors.ts';
import type { ItemError } from '../prediction.ts';
import { strip } from '../python/text.ts';
import type { ItemScore, JudgeQuestion, JudgeReply } from '../types.ts';
import type { ChatEndpoint } from './chat-endpoint.ts';
import { JudgeJournal } from './judge-journal.ts';
import type { JudgeCall, JudgeOutcome } from './judge-journal.ts';
import { isTransientStatus } from './reply.ts';
import type { ChatResult } from './types.ts';

/** Source: VLMEvalKit, `api/gpt.py`: max_tokens. */
const DEFAULT_MAX_TOKENS = 2048;
/** Source: VLMEvalKit, `api/base.py` and the scorers: marks a call that failed. */
const FAILURE_MARK = 'Failed to obtain answer via API';
/** Source: VLMEvalKit, `api/base.py`, `working`: what a judge is asked to show that it answers. */
const GREETING = 'hello';
/** ours: the longest ladder of the protocol has five steps. */
const MAX_ATTEMPTS = 32;

/** Who judged, for results. */
export interface JudgeIdentity {
  /** The model that was asked for. */
  readonly name: string;
  /** What the server called itself in the replies that were used; null where it did not say. */
  readonly versions: readonly (string | null)[];
}

/** How often a judge was asked. */
export interface JudgeCounts {
  /** Questions answered by the server. */
  readonly asked: number;
  /** Questions answered from the journal. */
  readonly kept: number;
  /** Of both, those that counted as failed attempts. */
  readonly failed: number;
}

/** What a judge is made of. */
export interface JudgeOptions {
  /** A server that is asked only what the journal does not hold. The caller disposes it. */
  readonly endpoint: ChatEndpoint;
  /** Journal of replies, for any number of judges. */
  readonly cachePath: string;
  /** Asks again what failed before. */
  readonly retryFailed?: boolean;
}

/** Failures that come of the server's state rather than of the question. */
function isOutage({ kind, status = 0 }: ItemError): boolean {
  return kind === 'timeout' || kind === 'connection' || isTransientStatus(status);
}

type Asked = Pick<JudgeCall, 'prompt' | 'temperature' | 'maxTokens'>;

/** A judge behind an endpoint. */
export class Judge implements AsyncDisposable {
  readonly #endpoint: ChatEndpoint;
  readonly #journal: JudgeJournal;
  readonly #retryFailed: boolean;
  readonly #versions = new Set<string | null>();
  readonly #counts = { asked: 0, kept: 0, failed: 0 };
  /** Calls under way: rows may ask the same. */
  readonly #underWay = new Map<string, Promise<JudgeOutcome>>();

  private constructor(options: JudgeOptions, journal: JudgeJournal) {
    this.#endpoint = options.endpoint;
    this.#journal = journal;
    this.#retryFailed = options.retryFailed ?? false;
  }

  /** Opens the journal; nobody is asked yet. @throws DataError for a journal that is damaged. */
  static async open(options: JudgeOptions): Promise<Judge> {
    return new Judge(options, await JudgeJournal.open(options.cachePath));
  }

  /** Who judged so far. */
  get identity(): JudgeIdentity {
    return { name: this.#endpoint.settings.model, versions: [...this.#versions].sort() };
  }

  /** How often it was asked so far. */
  get counts(): JudgeCounts {
    return { ...this.#counts };
  }

  /**
   * The reply to a question, blanks around it taken off as the reference's client does; null where the
   * protocol counts a failed attempt: the server refused this question, or answered with the mark of a failure.
   * @throws RuntimeError with exit code 4 when the judge does not answer at all; what came so far is kept.
   */
  async ask(question: JudgeQuestion, signal?: AbortSignal): Promise<JudgeReply> {
    const call = this.#callOf(question);
    const kept = this.#journal.find(call);
    const isKept = kept !== undefined && !('error' in kept && this.#retryFailed);
    const outcome = isKept ? kept : await this.#askOnce(call, signal);
    this.#counts[isKept ? 'kept' : 'asked'] += 1;
    const reply = 'reply' in outcome ? strip(outcome.reply) : FAILURE_MARK;
    if ('reply' in outcome) this.#versions.add(outcome.version);
    if (reply !== '' && !reply.includes(FAILURE_MARK)) return reply;
    this.#counts.failed += 1;
    return null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }

  #callOf({ prompt, temperature, maxTokens, attempt }: JudgeQuestion): JudgeCall {
    const { model, topP, seed, system, extra, ...settings } = this.#endpoint.settings;
    return {
      judge: model,
      settings: { topP, seed, system, extra },
      ...{ prompt, temperature, attempt },
      maxTokens: maxTokens ?? settings.maxTokens ?? DEFAULT_MAX_TOKENS,
    };
  }

  async #askOnce(call: JudgeCall, signal: AbortSignal | undefined): Promise<JudgeOutcome> {
    const id = JSON.stringify(call);
    const underWay = this.#underWay.get(id);
    if (underWay !== undefined) return underWay;
    const asking = this.#askServer(call, signal).finally(() => this.#underWay.delete(id));
    this.#underWay.set(id, asking);
    return asking;
  }

  async #askServer(call: JudgeCall, signal: AbortSignal | undefined): Promise<JudgeOutcome> {
    let result = await this.#complete(call, signal);
    if (result.state === 'failed') {
      await this.#proveThere(result.error, call, signal);
      // An outage that is over should leave no trace in a score.
      if (isOutage(result.error)) {
        result = await this.#complete(call, signal);
        if (result.state === 'failed') await this.#proveThere(result.error, call, signal);
      }
    }
    const outcome =
      result.state === 'failed'
        ? { error: result.error }
        : { reply: result.text, version: result.model };
    await this.#journal.keep(call, outcome);
    return outcome;
  }

  async #complete(call: Asked, signal: AbortSignal | undefined): Promise<ChatResult> {
    const { prompt, temperature, maxTokens } = call;
    try {
      return await this.#endpoint.complete({
        ...{ pictures: [], text: prompt, temperature, maxTokens },
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      if (error instanceof GapvlError) throw absent(this.identity.name, error);
      throw error;
    }
  }

  /** A failure counts as an attempt only while the judge answers something else. */
  async #proveThere(
    error: ItemError,
    { maxTokens }: JudgeCall,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const greeting = { prompt: GREETING, temperature: 0, maxTokens };
    const { state } = await this.#complete(greeting, signal);
    if (state === 'failed') throw absent(this.identity.name, error);
  }
}

function absent(name: string, reason: ItemError | GapvlError): RuntimeError {
  const isOurs = reason instanceof GapvlError;
  const got = isOurs ? `${reason.parts.what}: ${reason.parts.got ?? ''}` : reason.what;
  const fix = isOurs ? reason.parts.fix : undefined;
  return new RuntimeError(
    {
      what: `the judge ${name} does not answer`,
      got,
      expected: 'a judge that answers; scores without one are other scores',
      fix: `${fix ?? 'check its server'}, then run the command again: replies so far are kept`,
    },
    isOurs ? reason : undefined,
    EXIT_CODES.unreachable,
  );
}

/** A score and the replies it rests on. */
export interface JudgedScore {
  readonly score: ItemScore;
  /** Empty when the judge was not needed. */
  readonly replies: readonly JudgeReply[];
}

/**
 * Scores one item: asks the judge as long as the scorer wants one more reply.
 * @param score - a pure scorer with everything but the replies given.
 */
export async function scoreWithJudge(
  score: (replies: readonly JudgeReply[]) => ItemScore | JudgeQuestion,
  judge: Judge,
  signal?: AbortSignal,
): Promise<JudgedScore> {
  const replies: JudgeReply[] = [];
  for (;;) {
    const next = score(replies);
    if (next.state === 'scored') return { score: next, replies };
    if (replies.length >= MAX_ATTEMPTS) {
      throw new RuntimeError({
        what: 'a scorer asks its judge without end',
        got: `${replies.length} replies`,
        fix: 'this is a fault of gapvl',
      });
    }
    replies.push(await judge.ask(next, signal));
  }
}
