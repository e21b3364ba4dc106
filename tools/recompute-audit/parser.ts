// Owns recomputing the part on the parser text from its journals; recompute-audit.ts calls it.
import { average, byTask, isAnswer, share } from './recomputation.ts';
import type { ArmItem, Estimate, Expected, Recomputation } from './recomputation.ts';
import { mean } from './statistics.ts';

interface Standing {
  readonly candidates: number;
  readonly better: number;
  readonly ties: number;
}

type Ranking = 'cosine' | 'l2' | 'donor' | 'text';

interface Item {
  readonly id: string;
  readonly task: string;
  readonly donor: string | null;
  readonly standings: Readonly<Record<Ranking, Standing | null>> | null;
  readonly textDonor: string | null;
}

const RANKINGS: Readonly<Record<Ranking, string>> = {
  cosine: 'own latents, cosine',
  l2: 'own latents, L2',
  donor: "another example's latents, cosine",
  text: 'parser text',
};
const TEXTS: readonly (readonly [arm: string, title: string])[] = [
  ['parser-kept', 'Parser text as written'],
  ['parser-other', "Another example's parser text"],
  ['parser-random', 'Random words as parser text'],
];
const MARKERS = /<\|[a-z_]+\|>|<\/?(?:think|parser|answer)>/gu;

/** Every rank that the right one has when equals stand in any order. */
function ranksOf({ better, ties }: Standing): number[] {
  return Array.from({ length: ties + 1 }, (_, i) => better + 1 + i);
}

function ranking(task: string, by: Ranking, items: readonly Item[]): Record<string, Expected> {
  const found = items.flatMap(({ id, standings }) => {
    const standing = standings?.[by];
    return standing ? [{ id, standing }] : [];
  });
  const plain = (of: (ranks: number[]) => number, isChance: boolean): number | null => {
    const each = found.map(({ standing }) => {
      const { candidates } = standing;
      return of(ranksOf(isChance ? { candidates, better: 0, ties: candidates - 1 } : standing));
    });
    return each.length ? mean(each) : null;
  };
  const measured = (of: (ranks: number[]) => number): Estimate | null =>
    average(found.map(({ id, standing }) => [id, of(ranksOf(standing))] as const));
  const top1 = (ranks: number[]): number => mean(ranks.map((rank) => (rank === 1 ? 1 : 0)));
  const reciprocal = (ranks: number[]): number => mean(ranks.map((rank) => 1 / rank));
  return {
    ...{ task, by: RANKINGS[by], n: found.length },
    candidates: plain((ranks) => ranks.length, true),
    rank: plain(mean, false),
    chanceRank: plain(mean, true),
    top1: measured(top1),
    chanceTop1: plain(top1, true),
    mrr: measured(reciprocal),
    chanceMrr: plain(reciprocal, true),
  };
}

/** The parser text of a response, undefined without one. */
function parserText(response: string): string | undefined {
  const [, behind] = response.split(/<parser>(.*)/su);
  const text = behind?.split('</parser>')[0];
  return text?.replace(MARKERS, ' ').trim().split(/\s+/u).join(' ');
}

/** Shared words over all words, each as often as it is there. */
function overlap(first: string, second: string): number {
  const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const [a, b] = [words(first), words(second)];
  const left = [...b];
  const shared = a.filter((word) => {
    const at = left.indexOf(word);
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  }).length;
  const all = a.length + b.length - shared;
  return all === 0 ? 0 : shared / all;
}

interface Swap {
  readonly id: string;
  readonly task: string;
  readonly now: ArmItem;
  readonly own: ArmItem;
  readonly donor: ArmItem;
}

/** Rows whose latents are those of another example of the task. */
function swapsOf(run: Recomputation): Swap[] {
  const clean = new Map(run.arm('clean').map((item) => [item.id, item]));
  const donors = new Map((run.part('parser') as readonly Item[]).map((x) => [x.id, x.donor]));
  return run.arm('other').flatMap((now): Swap[] => {
    const { id, task } = now;
    const [own, donor] = [clean.get(id), clean.get(donors.get(id) ?? '')];
    return now.triggered && own && donor?.task === task ? [{ id, task, now, own, donor }] : [];
  });
}

function swapAnswers(all: readonly Swap[]): Record<string, Expected>[] {
  const isSame = (a: ArmItem, b: ArmItem): boolean => isAnswer(a.expected, b.expected);
  /** How often the answer given is right for one of some other examples of the task. */
  const chance = (one: Swap, among: (other: Swap) => boolean): number => {
    const others = all.filter((other) => other.task === one.task && among(other));
    const hits = others.filter((other) => isAnswer(one.now.answer, other.own.expected));
    return others.length === 0 ? 0 : hits.length / others.length;
  };
  const telling = all
    .filter(({ own, donor }) => !isSame(own, donor))
    .map((one) => ({
      ...one,
      latents: isAnswer(one.now.answer, one.donor.expected),
      picture: isAnswer(one.now.answer, one.own.expected),
      latentsChance: chance(one, (other) => !isSame(other.own, one.own)),
      pictureChance: chance(one, (other) => other.id !== one.id),
    }));
  return byTask(telling).map(({ task, items }) => {
    type Told = (typeof items)[number];
    const shareOf = (is: (one: Told) => boolean): Estimate | null =>
      share(items.map((one) => [one.id, is(one)] as const));
    const meanOf = (of: (one: Told) => number): Estimate | null =>
      average(items.map((one) => [one.id, of(one)] as const));
    return {
      ...{ task, n: items.length },
      latents: shareOf((one) => one.latents),
      chanceLatents: meanOf((one) => one.latentsChance)?.value ?? null,
      beyondLatents: meanOf((one) => Number(one.latents) - one.latentsChance),
      picture: shareOf((one) => one.picture),
      chancePicture: meanOf((one) => one.pictureChance)?.value ?? null,
      beyondPicture: meanOf((one) => Number(one.picture) - one.pictureChance),
      neither: shareOf((one) => !one.latents && !one.picture),
    };
  });
}

function swapTexts(all: readonly Swap[]): Record<string, Expected>[] {
  return byTask(all).map(({ task, items }) => {
    const leads = items.flatMap(({ id, now, own, donor }) => {
      const [text, mine, theirs] = [now, own, donor].map(({ response }) => parserText(response));
      if (text === undefined || mine === undefined || theirs === undefined) return [];
      return mine === theirs ? [] : [{ id, lead: overlap(text, theirs) - overlap(text, mine) }];
    });
    const shareOf = (sign: number): Estimate | null =>
      share(leads.map(({ id, lead }) => [id, Math.sign(lead) === sign] as const));
    return {
      ...{ task, n: items.length, telling: leads.length },
      ...{ latents: shareOf(1), picture: shareOf(-1), neither: shareOf(0) },
    };
  });
}

function replacedTexts(run: Recomputation): Record<string, Expected>[] {
  const byId = (name: string) => new Map(run.arm(name).map((item) => [item.id, item]));
  const [clean, kept] = [byId('clean'), byId('parser-kept')];
  return TEXTS.flatMap(([arm, text]) => {
    const given = byId(arm);
    const pairs = (run.part('parser') as readonly Item[]).flatMap(({ id, task, textDonor }) => {
      const [own, whole, now] = [clean.get(id), kept.get(id), given.get(id)];
      if (!own?.triggered || !own.response.includes('</parser>') || !whole || !now) return [];
      return arm === 'parser-other' && textDonor === null ? [] : [{ id, task, whole, now }];
    });
    return byTask(pairs).map(({ task, items }) => {
      const isRight = (item: ArmItem): boolean => isAnswer(item.answer, item.expected);
      const same = items.map(({ id, whole, now }) => {
        const isBoth = whole.answer === null && now.answer === null;
        const isSame = whole.answer !== null && isAnswer(now.answer, whole.answer);
        return [id, isBoth || isSame] as const;
      });
      const gain = items.map(
        ({ id, whole, now }) => [id, Number(isRight(now)) - Number(isRight(whole))] as const,
      );
      return {
        ...{ task, text, n: items.length, same: share(same) },
        accuracy: share(items.map(({ id, now }) => [id, isRight(now)] as const)),
        difference: arm === 'parser-kept' ? null : average(gain),
      };
    });
  });
}

/** All tables of the part. */
export function parser(run: Recomputation): void {
  if (!run.has('parser')) return;
  const groups = byTask(run.part('parser') as readonly Item[]);
  const all = Object.keys(RANKINGS) as Ranking[];
  const some: Ranking[] = ['cosine', 'text'];
  run.table(
    'parser-ranks',
    groups.flatMap(({ task, items }, i) =>
      (i === 0 ? all : some).map((by) => ranking(task, by, items)),
    ),
  );
  const swaps = swapsOf(run);
  run.table('parser-swap-answers', swaps.length ? swapAnswers(swaps) : []);
  run.table('parser-swap-texts', swaps.length ? swapTexts(swaps) : []);
  const replaced = replacedTexts(run);
  run.table('parser-corrupted', replaced.some(({ n }) => n !== 0) ? replaced : []);
}
