// Owns the replies of judges on disk, by content: what was asked of whom, and what came; `judge.ts` calls it.
import { createHash } from 'node:crypto';
import { Journal } from '../../data/journal.ts';
import { DataError } from '../../errors.ts';
import type { ItemError } from '../prediction.ts';

const FORMAT = 'gapvl-judge-replies';

/** Everything a reply depends on, apart from the judge's version. */
export interface JudgeCall {
  /** Name of the judge, not its address. */
  readonly judge: string;
  readonly prompt: string;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly attempt: number;
  /** Settings of the endpoint that change replies. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** What came of a call: a text, or why there is none. */
export type JudgeOutcome =
  { readonly reply: string; readonly version: string | null } | { readonly error: ItemError };

/** A line of the journal. */
type JudgeRecord = JudgeOutcome & {
  readonly key: string;
  readonly judge: string;
  readonly temperature: number;
  readonly attempt: number;
};

function keyOf(call: JudgeCall, version: string | null): string {
  const { judge, prompt, temperature, maxTokens, attempt, settings } = call;
  const content = [judge, version, settings, prompt, temperature, maxTokens, attempt];
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isRecord(value: unknown): value is JudgeRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { key, judge, reply, version, error } = value as Readonly<Record<string, unknown>>;
  if (!isText(key) || !/^[0-9a-f]{64}$/.test(key) || !isText(judge)) return false;
  if (reply !== undefined) return isText(reply) && (version === null || isText(version));
  if (typeof error !== 'object' || error === null) return false;
  const { kind, what } = error as Readonly<Record<string, unknown>>;
  return isText(kind) && isText(what);
}

/** Replies that are kept. */
export class JudgeJournal implements AsyncDisposable {
  readonly #journal: Journal;
  readonly #outcomes = new Map<string, JudgeOutcome>();
  /** Versions that each judge reported, the latest last. */
  readonly #versions = new Map<string, Set<string | null>>();
  /** Appends follow one another. */
  #written: Promise<void> = Promise.resolve();

  private constructor(journal: Journal) {
    this.#journal = journal;
    for (const [i, record] of journal.records.entries()) {
      if (!isRecord(record)) {
        throw new DataError({
          what: `${journal.path}:${i + 2}: the line is no reply of a judge`,
          got: JSON.stringify(record).slice(0, 80),
          fix: 'remove the line, or the file to ask the judge again',
        });
      }
      this.#remember(record);
    }
  }

  /** Opens a journal, or starts one. @throws DataError naming file and line for one that is damaged. */
  static async open(path: string): Promise<JudgeJournal> {
    const journal = await Journal.open(path, { format: FORMAT });
    try {
      return new JudgeJournal(journal);
    } catch (error) {
      await journal[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What came of a call before, by the judge's latest version that was asked; undefined: nothing. */
  find(call: JudgeCall): JudgeOutcome | undefined {
    const versions = [...(this.#versions.get(call.judge) ?? [])].reverse();
    const outcomes = [...versions, null].map((version) => this.#outcomes.get(keyOf(call, version)));
    const found = outcomes.filter((outcome) => outcome !== undefined);
    return found.find((outcome) => 'reply' in outcome) ?? found[0];
  }

  /** Keeps what came of a call; it is on disk when this resolves. */
  async keep(call: JudgeCall, outcome: JudgeOutcome): Promise<void> {
    const { judge, temperature, attempt } = call;
    const version = 'reply' in outcome ? outcome.version : null;
    const record: JudgeRecord = {
      key: keyOf(call, version),
      ...{ judge, temperature, attempt },
      ...outcome,
    };
    const write = this.#written.then(() => this.#journal.append([record]));
    this.#written = write.catch(() => undefined);
    await write;
    this.#remember(record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#written;
    await this.#journal[Symbol.asyncDispose]();
  }

  #remember(record: JudgeRecord): void {
    if ('error' in record) {
      this.#outcomes.set(record.key, { error: record.error });
      return;
    }
    const { key, judge, reply, version } = record;
    this.#outcomes.set(key, { reply, version });
    const versions = this.#versions.get(judge) ?? new Set();
    versions.delete(version);
    this.#versions.set(judge, versions.add(version));
  }
}
