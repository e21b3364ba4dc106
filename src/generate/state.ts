// Owns when a decoder writes text and when latents: a pure state machine over sampled tokens.

/** Tokens and limits the machine goes by. */
export interface DecodingRules {
  readonly latentStart: number;
  readonly latentPad: number;
  readonly latentEnd: number;
  /** Ends the response. */
  readonly responseEnd: number;
  /** K: latents of a span. 0: the markers alone. */
  readonly numLatents: number;
  /** Most tokens of a response, latents and markers included. */
  readonly maxNewTokens: number;
}

/** Where a row stands. `latent` means: the next input is a latent, `latentsLeft` of them. */
export interface DecodingState {
  readonly mode: 'text' | 'latent' | 'done';
  readonly latentsLeft: number;
  /** Tokens written so far; a latent is written as `<|latent_pad|>`. */
  readonly written: readonly number[];
  readonly numSpans: number;
  /** True when the response ended by itself and not by the limit. */
  readonly finished: boolean;
}

/** What the decoder is fed next. */
export type NextInput =
  | { readonly kind: 'token'; readonly id: number }
  | { readonly kind: 'latent' }
  | { readonly kind: 'nothing' };

/** A state and the input that follows from it. */
export interface DecodingStep {
  readonly state: DecodingState;
  readonly next: NextInput;
}

/** The state before anything is written. */
export const START_STATE: DecodingState = {
  mode: 'text',
  latentsLeft: 0,
  written: [],
  numSpans: 0,
  finished: false,
};

function write(
  state: DecodingState,
  id: number,
  rules: DecodingRules,
  change: Partial<DecodingState>,
): DecodingState {
  const written = [...state.written, id];
  const full = written.length >= rules.maxNewTokens;
  return { ...state, ...(full ? { mode: 'done' as const } : {}), written, ...change };
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
  if (state.mode === 'done') return { state, next: { kind: 'nothing' } };
  if (state.mode === 'latent') {
    if (state.latentsLeft > 0) {
      const next = write(state, rules.latentPad, rules, { latentsLeft: state.latentsLeft - 1 });
      return { state: next, next: next.mode === 'done' ? { kind: 'nothing' } : { kind: 'latent' } };
    }
    const next = write({ ...state, mode: 'text' }, rules.latentEnd, rules, {
      numSpans: state.numSpans + 1,
    });
    return {
      state: next,
      next: next.mode === 'done' ? { kind: 'nothing' } : { kind: 'token', id: rules.latentEnd },
    };
  }
  if (sampled === rules.responseEnd) {
    return {
      state: { ...state, mode: 'done', finished: true, written: [...state.written, sampled] },
      next: { kind: 'nothing' },
    };
  }
  const opens = sampled === rules.latentStart;
  const next = write(
    opens ? { ...state, mode: 'latent' } : state,
    sampled,
    rules,
    opens ? { latentsLeft: rules.numLatents } : {},
  );
  return {
    state: next,
    next: next.mode === 'done' ? { kind: 'nothing' } : { kind: 'token', id: sampled },
  };
}
