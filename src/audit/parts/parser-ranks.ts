// Owns the table of ranks of the parser part; parser-summary.ts shows it.
import type { Rng } from '../../rng.ts';
import { chanceScores, rankScores } from '../ranks.ts';
import type { Standing } from '../ranks.ts';
import { groupByTask, measuredMean } from '../rates.ts';
import type { AuditTable, Cell, Measured } from '../types.ts';
import { PARSER_ITEMS } from './parser-records.ts';
import type { ParserRecord, Standings } from './parser-records.ts';

/** What pictures are looked for with, as the table writes it. */
export const RANKINGS: Readonly<Record<keyof Standings, string>> = {
  cosine: 'own latents, cosine',
  l2: 'own latents, L2',
  donor: "another example's latents, cosine",
  text: 'parser text',
};

const ALL_RANKINGS = Object.keys(RANKINGS) as (keyof Standings)[];
/** Of these by task as well. */
const BY_TASK: readonly (keyof Standings)[] = ['cosine', 'text'];

/** Ranks of the own auxiliary picture by task and by what is looked with. */
export function rankTable(records: readonly ParserRecord[], rng: Rng): AuditTable {
  const groups = groupByTask(records);
  const rows = groups.flatMap(({ label, records: own }, group) =>
    (group === 0 ? ALL_RANKINGS : BY_TASK).map((by): Readonly<Record<string, Cell>> => {
      const found = own.flatMap(({ id, standings }) => {
        const standing = standings?.[by];
        return standing ? [{ id, standing }] : [];
      });
      const meanOf = (value: (standing: Standing) => number): Measured | null =>
        measuredMean(
          found.map(({ id, standing }) => ({ cluster: id, value: value(standing) })),
          rng,
        );
      const plain = (value: (standing: Standing) => number): number | null =>
        found.length === 0
          ? null
          : found.reduce((sum, { standing }) => sum + value(standing), 0) / found.length;
      return {
        task: label,
        by: RANKINGS[by],
        n: found.length,
        candidates: plain(({ candidates }) => candidates),
        rank: plain((standing) => rankScores(standing).rank),
        chanceRank: plain(({ candidates }) => chanceScores(candidates).rank),
        top1: meanOf((standing) => rankScores(standing).top1),
        chanceTop1: plain(({ candidates }) => chanceScores(candidates).top1),
        mrr: meanOf((standing) => rankScores(standing).reciprocal),
        chanceMrr: plain(({ candidates }) => chanceScores(candidates).reciprocal),
      };
    }),
  );
  return {
    id: 'parser-ranks',
    title: 'Rank of the own auxiliary picture among distractors',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'by', title: 'Looked for with', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'candidates', title: 'Candidates', format: 'number' },
      { key: 'rank', title: 'Mean rank', format: 'number' },
      { key: 'chanceRank', title: 'by chance', format: 'number' },
      { key: 'top1', title: 'Top 1', format: 'percent' },
      { key: 'chanceTop1', title: 'by chance', format: 'percent' },
      { key: 'mrr', title: 'MRR', format: 'number' },
      { key: 'chanceMrr', title: 'by chance', format: 'number' },
    ],
    rows,
    note: 'Distractors are auxiliary pictures of other examples of the task, all different. Equal scores count as in a random order, so that what tells nothing comes out at chance. A good rank says which picture the latents point to, not that the answer rests on them.',
    items: PARSER_ITEMS,
  };
}
