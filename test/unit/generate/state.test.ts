// Tests the decoding state machine, a row of a table for every mode change.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { START_STATE, decodingStep, endState } from '../../../src/generate/state.ts';
import type { DecodingRules, DecodingState, NextInput } from '../../../src/generate/state.ts';

// Words are 0..9; the marks as in the worked example: [ . ] $.
const [OPEN, CLOSE, END, SECOND_END] = [100, 102, 103, 104];
const RULES: DecodingRules = {
  latentStart: OPEN,
  latentEnd: CLOSE,
  endIds: new Set([END, SECOND_END]),
  numLatents: 2,
  maxNewTokens: 50,
};
const NOTHING: NextInput = { kind: 'nothing' };
const token = (id: number): NextInput => ({ kind: 'token', id });
const latent: NextInput = { kind: 'latent' };

function state(change: Partial<DecodingState>): DecodingState {
  return { ...START_STATE, numWritten: 1, ...change };
}

interface Transition {
  readonly from: Partial<DecodingState>;
  readonly sampled: number;
  readonly rules?: Partial<DecodingRules>;
  readonly to: Partial<DecodingState>;
  readonly wrote: NextInput;
  /** Default: what was written. */
  readonly next?: NextInput;
}

const TABLE: Readonly<Record<string, Transition>> = {
  'text writes what was drawn': {
    from: {},
    sampled: 3,
    to: { mode: 'text', numWritten: 2 },
    wrote: token(3),
  },
  'a start opens a span of K latents': {
    from: {},
    sampled: OPEN,
    to: { mode: 'latent', latentsLeft: 2, numWritten: 2 },
    wrote: token(OPEN),
  },
  'inside a span a latent is written, whatever was drawn': {
    from: { mode: 'latent', latentsLeft: 2 },
    sampled: END,
    to: { mode: 'latent', latentsLeft: 1, numWritten: 2 },
    wrote: latent,
  },
  'the last latent leaves none': {
    from: { mode: 'latent', latentsLeft: 1 },
    sampled: 3,
    to: { mode: 'latent', latentsLeft: 0, numWritten: 2 },
    wrote: latent,
  },
  'after K latents the end is written, whatever was drawn': {
    from: { mode: 'latent', latentsLeft: 0 },
    sampled: 3,
    to: { mode: 'text', latentsLeft: 0, numSpans: 1, numWritten: 2 },
    wrote: token(CLOSE),
  },
  'a second span counts on': {
    from: { mode: 'latent', latentsLeft: 0, numSpans: 1 },
    sampled: 3,
    to: { mode: 'text', numSpans: 2, numWritten: 2 },
    wrote: token(CLOSE),
  },
  'K = 0 gives the marks alone': {
    from: {},
    sampled: OPEN,
    rules: { numLatents: 0 },
    to: { mode: 'latent', latentsLeft: 0, numWritten: 2 },
    wrote: token(OPEN),
  },
  'the end of the response finishes': {
    from: {},
    sampled: END,
    to: { mode: 'done', finished: true, numWritten: 2 },
    wrote: NOTHING,
  },
  'any token that ends the response does': {
    from: {},
    sampled: SECOND_END,
    to: { mode: 'done', finished: true, numWritten: 2 },
    wrote: NOTHING,
  },
  'the end of the response finishes at the limit too': {
    from: {},
    sampled: END,
    rules: { maxNewTokens: 2 },
    to: { mode: 'done', finished: true, numWritten: 2 },
    wrote: NOTHING,
  },
  'the limit cuts text after writing it': {
    from: {},
    sampled: 3,
    rules: { maxNewTokens: 2 },
    to: { mode: 'done', finished: false, numWritten: 2 },
    wrote: token(3),
    next: NOTHING,
  },
  'the limit cuts at a start': {
    from: {},
    sampled: OPEN,
    rules: { maxNewTokens: 2 },
    to: { mode: 'done', finished: false, numWritten: 2, latentsLeft: 2 },
    wrote: token(OPEN),
    next: NOTHING,
  },
  'the limit cuts inside a span': {
    from: { mode: 'latent', latentsLeft: 2 },
    sampled: 3,
    rules: { maxNewTokens: 2 },
    to: { mode: 'done', finished: false, latentsLeft: 1, numWritten: 2 },
    wrote: latent,
    next: NOTHING,
  },
  'the limit cuts at the end of a span, which counts': {
    from: { mode: 'latent', latentsLeft: 0 },
    sampled: 3,
    rules: { maxNewTokens: 2 },
    to: { mode: 'done', finished: false, numSpans: 1, numWritten: 2 },
    wrote: token(CLOSE),
    next: NOTHING,
  },
  'a row that is done stays so': {
    from: { mode: 'done', finished: true },
    sampled: 3,
    to: { mode: 'done', finished: true, numWritten: 1 },
    wrote: NOTHING,
  },
};

describe('a decoding step', () => {
  it.each(Object.entries(TABLE))('%s', (_name, { from, sampled, rules, to, wrote, next }) => {
    const before = state(from);
    const copy = structuredClone(before);
    const step = decodingStep(before, sampled, { ...RULES, ...rules });
    expect(step.state).toEqual({ ...before, ...to });
    expect(step.wrote).toEqual(wrote);
    expect(step.next).toEqual(next ?? wrote);
    expect(before).toEqual(copy);
  });

  it('gives the worked example: a [ x x x b writes a [ . . ] b', () => {
    let now = START_STATE;
    const [asked, written]: [NextInput[], NextInput[]] = [[], []];
    for (const sampled of [1, OPEN, 9, 9, 9, 2, END]) {
      const step = decodingStep(now, sampled, RULES);
      asked.push(step.next);
      written.push(step.wrote);
      now = step.state;
    }
    expect(written).toEqual(asked);
    expect(now.numWritten).toBe(7);
    expect(asked).toEqual([token(1), token(OPEN), latent, latent, token(CLOSE), token(2), NOTHING]);
    expect(now).toMatchObject({ mode: 'done', finished: true, numSpans: 1 });
  });

  it('ends where it is told to, as if the response had ended by itself', () => {
    const before = state({ numSpans: 2 });
    expect(endState(before)).toEqual({ ...before, mode: 'done', finished: true });
  });

  it('never writes more than the limit, nor a span of another length, whatever is drawn', () => {
    const drawn = fc.array(fc.constantFrom(1, 2, OPEN, END), { minLength: 30, maxLength: 30 });
    const sizes = [fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 25 })] as const;
    const property = fc.property(drawn, ...sizes, (draws, numLatents, maxNewTokens) => {
      let now = START_STATE;
      let text = '';
      for (const sampled of draws) {
        const step = decodingStep(now, sampled, { ...RULES, numLatents, maxNewTokens });
        const { wrote } = step;
        if (wrote.kind === 'latent') text += '.';
        if (wrote.kind === 'token') text += { [OPEN]: '[', [CLOSE]: ']' }[wrote.id] ?? 'a';
        if (step.state.finished && !now.finished) text += '$';
        now = step.state;
      }
      const span = `\\[\\.{${numLatents}}\\]`;
      const cut = `(\\[\\.{0,${numLatents}})?`;
      expect(text).toMatch(new RegExp(`^(a|${span})*(\\$|${cut})$`));
      expect(text.replace('$', '').length).toBeLessThanOrEqual(maxNewTokens);
      expect(now.numWritten).toBe(text.length);
      expect(now.numSpans).toBe(text.split(']').length - 1);
      expect(now.mode === 'done').toBe(now.finished || now.numWritten >= maxNewTokens);
    });
    fc.assert(property, { numRuns: 200, seed: 5 });
  });
});
