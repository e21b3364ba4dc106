// Owns what an audit concludes: canaries first, then the verdict and the card's figures; a pure function of journals.
import type { PairedEffect } from '../evaluate/effects.ts';
import { LEAST_DIFFERING, betterArm, cautiousInterval, questionsFor } from './caution.ts';
import type { ArmRecord, AuditFacts, Journals } from './part.ts';
import { DESTRUCTIVE_ARMS, cleanAgainst } from './parts/replacement.ts';
import type { Canary, CardFigure, Verdict } from './types.ts';

/** Differences within this many points either way count as none. ours. */
export const MARGIN = 0.05;
/** Comparisons that "latents help" rests on, all of them. */
const NEEDED = [
  { name: 'other', what: "another example's latents" },
  { name: 'markers-only', what: 'the markers alone' },
  { name: 'zero-latent', what: 'no span at all' },
] as const;

/** Arms that canaries and verdict cannot do without, whatever parts are asked for. */
export const VERDICT_ARMS: readonly string[] = [
  'identity',
  ...DESTRUCTIVE_ARMS,
  ...NEEDED.map(({ name }) => name),
];

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const points = (value: number): string => (100 * value).toFixed(1);

const spansOf = (records: readonly ArmRecord[]): ArmRecord[] =>
  records.filter(({ triggered }) => triggered);

function identityCanary(journals: Journals): Canary {
  const clean = new Map(journals.arm('clean').map((record) => [record.id, record]));
  const spans = spansOf(journals.arm('identity'));
  const same = spans.filter((record) => {
    const own = clean.get(record.id);
    return own?.response === record.response && own.logitsHash === record.logitsHash;
  });
  return {
    name: 'identity',
    passed: spans.length > 0 && same.length === spans.length,
    seen: `${same.length} of ${spans.length} responses with a span are the same to the last bit of their logits`,
    expected: 'latents replaced by themselves change nothing at all',
  };
}

function destructionCanary(journals: Journals): Canary {
  const clean = new Map(journals.arm('clean').map((record) => [record.id, record.logitsHash]));
  const counts = DESTRUCTIVE_ARMS.map((name) => {
    const spans = spansOf(journals.arm(name)).filter(({ logitsHash }) => logitsHash !== null);
    const moved = spans.filter(({ id, logitsHash }) => clean.get(id) !== logitsHash).length;
    return { name, moved, total: spans.length };
  });
  return {
    name: 'destruction',
    passed: counts.every(({ moved, total }) => total > 0 && moved === total),
    seen: counts.map(({ name, moved, total }) => `${name}: ${moved} of ${total}`).join('; '),
    expected:
      'a replacement that destroys the content changes the logits at the first position after every span',
  };
}

function triggerCanary(journals: Journals): Canary {
  const clean = journals.arm('clean');
  const spans = spansOf(clean).length;
  return {
    name: 'trigger',
    passed: spans > 0,
    seen: `${spans} of ${clean.length} responses have a span (${percent(spans / Math.max(1, clean.length))})`,
    expected: 'at least one',
  };
}

/** The checks that come before any verdict. */
export function canaries(journals: Journals): Canary[] {
  return [triggerCanary(journals), identityCanary(journals), destructionCanary(journals)];
}

interface Comparison {
  readonly what: string;
  readonly effect: PairedEffect;
}

function sentence({ what, effect }: Comparison): string {
  const { mean, low, high } = effect.difference;
  const p = effect.mcNemar ? `, McNemar p ${pText(effect.mcNemar.p)}` : '';
  return `clean ${percent(effect.first)} against ${what} ${percent(effect.second)}: ${points(mean)} points (${points(low)} to ${points(high)}${p}, n = ${effect.n})`;
}

const pText = (p: number): string => (p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`);

/** Questions that would show the difference that was seen, or half of the margin where none was. */
const questions = (effect: PairedEffect): number => questionsFor(effect, MARGIN / 2);

/**
 * What the journals say of the latents. A failed canary refuses any verdict. `used`: clean beats
 * all three of `NEEDED`. `harmful`: clean is worse than no span. Both need an interval without 0 and
 * an exact test below 5 % (`betterArm`). `not-used`: against another example's latents the whole
 * interval (`cautiousInterval`) lies within MARGIN, so what is in the span does not matter, and more
 * answers than that are right, so that there was something to lose. Else `open`.
 */
export function verdictOf(
  journals: Journals,
  checks: readonly Canary[],
  facts: AuditFacts,
): Verdict {
  const failed = checks.filter(({ passed }) => !passed);
  if (failed.length > 0) return refused(journals, failed);
  const comparisons = NEEDED.flatMap(({ name, what }): Comparison[] => {
    const effect = cleanAgainst(journals, name, facts.seed);
    return effect ? [{ what, effect }] : [];
  });
  const because = comparisons.map(sentence);
  const isBetter = ({ effect }: Comparison): boolean => betterArm(effect) === 'first';
  if (comparisons.length === NEEDED.length && comparisons.every(isBetter)) {
    const least = comparisons.toSorted(
      (a, b) => a.effect.difference.low - b.effect.difference.low,
    )[0];
    return {
      kind: 'used',
      sentence: 'The latents are used: what is in them decides answers.',
      because,
      wouldChange: least
        ? `A comparison whose interval reaches 0; the nearest is ${least.what} with ${points(least.effect.difference.low)} points to go.`
        : '',
    };
  }
  const suppressed = comparisons.find(({ what }) => what === 'no span at all');
  if (suppressed && betterArm(suppressed.effect) === 'second') {
    return {
      kind: 'harmful',
      sentence: 'The latents do harm: answers are better when no span is written.',
      because,
      wouldChange: 'Clean at least as good as the suppressed span on other questions.',
    };
  }
  const content = comparisons.find(({ what }) => what === NEEDED[0].what);
  const within = content && cautiousInterval(content.effect);
  const hasRight = content !== undefined && content.effect.first > MARGIN;
  if (hasRight && within && within.low > -MARGIN && within.high < MARGIN) {
    const slots = comparisons.filter(({ what }) => what !== NEEDED[0].what);
    const helps = slots.length > 0 && slots.every(isBetter);
    return {
      kind: 'not-used',
      sentence: helps
        ? "The span helps, but not by what is in it: another example's latents do as well."
        : "The latents are not used: another example's do as well.",
      because,
      wouldChange: `An effect above ${points(Math.max(Math.abs(within.low), Math.abs(within.high)))} points is excluded here; a smaller one would need about ${questions(content.effect).toLocaleString('en')} questions.`,
    };
  }
  return { kind: 'open', because, ...openWords(comparisons, content) };
}

/** Why nothing can be said, and what would help. */
function openWords(
  comparisons: readonly Comparison[],
  content: Comparison | undefined,
): Pick<Verdict, 'sentence' | 'wouldChange'> {
  const needed = Math.max(0, ...comparisons.map(({ effect }) => questions(effect)));
  const more = `About ${needed.toLocaleString('en')} questions would show differences of this size (power 0.8).`;
  if (!content) {
    return {
      sentence: "Open: there is nothing to hold the latents against, as no other example's fit.",
      wouldChange: 'Two questions at least whose responses have a whole span.',
    };
  }
  const { n, first } = content.effect;
  if (n < LEAST_DIFFERING) {
    return {
      sentence: `Open: ${n} ${n === 1 ? 'question is' : 'questions are'} too few for an interval; ${LEAST_DIFFERING} is the least.`,
      wouldChange: more,
    };
  }
  if (first <= MARGIN) {
    return {
      sentence: 'Open: hardly any answer is right, so there is nothing that latents could decide.',
      wouldChange: `A model, or questions, with more than ${percent(MARGIN)} right answers.`,
    };
  }
  if (betterArm(content.effect) === 'first') {
    return {
      sentence:
        'Open: what is in the latents changes answers, but it is not shown that writing them helps.',
      wouldChange: more,
    };
  }
  return {
    sentence: 'Open: these questions do not tell whether the latents are used.',
    wouldChange: more,
  };
}

function refused(journals: Journals, failed: readonly Canary[]): Verdict {
  // Without a span the other canaries have nothing to look at, and nothing to say.
  const silent = failed.find(({ name }) => name === 'trigger');
  const told = silent ? [silent] : failed;
  const names = told.map(({ name }) => name).join(' and ');
  return {
    kind: 'refused',
    sentence: silent
      ? 'No verdict: trigger failed, no response has a span, so there are no latents to judge.'
      : `No verdict: ${names} failed, so the instrument or the model is not what it should be.`,
    because: told.map(({ name, seen, expected }) => `${name}: ${seen}; expected: ${expected}`),
    wouldChange: refusedHelp(journals, told),
  };
}

function refusedHelp(journals: Journals, failed: readonly Canary[]): string {
  const names = failed.map(({ name }) => name);
  if (names.includes('trigger'))
    return 'A model that writes latents on these questions: train one with `gapvl train`, or check the tokens with `gapvl tokens add`.';
  if (spansOf(journals.arm('clean')).every(({ logitsHash }) => logitsHash === null))
    return 'Responses that go on behind their span: all of these reach the limit of tokens before.';
  return names.includes('identity')
    ? 'Decoding that gives the same bits twice: mend the injection of given vectors first.'
    : 'Vectors that reach the input: mend the injection of latents first.';
}

/** The five figures of the card. */
export function cardFigures(journals: Journals, facts: AuditFacts): CardFigure[] {
  const clean = journals.arm('clean');
  const right = clean.filter(({ correct }) => correct).length;
  const against = (name: string, label: string): CardFigure => {
    const effect = cleanAgainst(journals, name, facts.seed);
    const value = effect && {
      value: effect.difference.mean,
      low: effect.difference.low,
      high: effect.difference.high,
    };
    return { label, value: value ?? null, format: 'points' };
  };
  return [
    {
      label: 'accuracy, clean',
      value: clean.length > 0 ? right / clean.length : null,
      format: 'percent',
    },
    against('other', "clean over another example's latents"),
    against('markers-only', 'clean over markers only'),
    against('zero-latent', 'clean over no span'),
    against('oracle', 'clean over the oracle'),
  ];
}
