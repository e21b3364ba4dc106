// Owns when a decoder writes text and when latents: a pure state machine over sampled tokens.

/** Tokens and limits the machine goes by. */
export interface DecodingRules {
  readonly latentStart: number;
  readonly latentEnd: number;
  /** Tokens that end the response. */
  readonly endIds: ReadonlySet<number>;
  /** K: latents of a span. 0: the markers alone. */
  readonly numLatents: number;
  /** Most tokens of a response, latents and markers included. */
  readonly maxNewTokens: number;
}

/** Where a row stands. `latent` means: the next input is a latent, `latentsLeft` of them. */
export interface DecodingState {
  readonly mode: 'text' | 'latent' | 'done';
  readonly latentsLeft: number;
  /** Tokens written so far, latents and the token that ended the response included. */
  readonly numWritten: number;
  readonly numSpans: number;
  /** True when the response ended by itself or by a stop string, and not by the limit. */
  readonly finished: boolean;
}

/** What a step writes, and what the decoder is fed next. */
export type NextInput =
  | { readonly kind: 'token'; readonly id: number }
  | { readonly kind: 'latent' }
  | { readonly kind: 'nothing' };

/** A state, what was written on the way to it, and the input that follows. */
export interface DecodingStep {
  readonly state: DecodingState;
  /** Nothing when the response ends by itself; the last token before the limit is written. */
  readonly wrote: NextInput;
  /** What was written, unless the row is done. */
  readonly next: NextInput;
}

const NOTHING: NextInput = { kind: 'nothing' };

/** The state before anything is written. */
export const START_STATE: DecodingState = {
  mode: 'text',
  latentsLeft: 0,
  numWritten: 0,
  numSpans: 0,
  finished: false,
};

function write(
  state: DecodingState,
  wrote: NextInput,
  rules: DecodingRules,
  change: Partial<DecodingState> = {},
): DecodingStep {
  const changed = { ...state, ...change, numWritten: state.numWritten + 1 };
  if (changed.numWritten < rules.maxNewTokens) return { state: changed, wrote, next: wrote };
  return { state: { ...changed, mode: 'done' }, wrote, next: NOTHING };
}

/** A row that has nothing more to say: what it wrote ends the response. */
export function endState(state: DecodingState): DecodingState {
  return { ...state, mode: 'done', finished: true };
}

/**
 * One step. `sampled` is the token drawn from the logits of the last input; it counts in text mode
 * only: a span has exactly K latents and then `<|latent_end|>`, whatever the logits say (GAP §4.2).
 *
 * Worked example with K = 2: sampled `a`, `[`, x, x, x, `b` writes `a [ . . ] b`: after `[` the
 * machine asks for two latents, then feeds `]` itself, then samples again.
 */
export function decodingStep(
  state: DecodingState,
  sampled: number,
  rules: DecodingRules,
): DecodingStep {
  if (state.mode === 'done') return { state, wrote: NOTHING, next: NOTHING };
  const token = (id: number): NextInput => ({ kind: 'token', id });
  if (state.mode === 'latent') {
    if (state.latentsLeft > 0) {
      return write(state, { kind: 'latent' }, rules, { latentsLeft: state.latentsLeft - 1 });
    }
    const closed = { mode: 'text' as const, numSpans: state.numSpans + 1 };
    return write(state, token(rules.latentEnd), rules, closed);
  }
  if (rules.endIds.has(sampled)) {
    const ended = { ...endState(state), numWritten: state.numWritten + 1 };
    return { state: ended, wrote: NOTHING, next: NOTHING };
  }
  if (sampled !== rules.latentStart) return write(state, token(sampled), rules);
  const opened = { mode: 'latent' as const, latentsLeft: rules.numLatents };
  return write(state, token(sampled), rules, opened);
}
