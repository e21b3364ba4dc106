// Tests the part of the audit on mediation: similarities against loops over all pairs, arms, answers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile } from 'vega-lite';
import { donorOf } from '../../../../src/audit/arms.ts';
import type { PartRecord } from '../../../../src/audit/part.ts';
import { MEDIATION_PART, meanDirection } from '../../../../src/audit/parts/mediation.ts';
import type { MediationRecord } from '../../../../src/audit/parts/mediation-records.ts';
import { samePlaceCosines } from '../../../../src/audit/same-place.ts';
import type { AuditPart } from '../../../../src/audit/types.ts';
import { mean } from '../../../../src/evaluate/statistics.ts';
import { cosine } from '../../../../src/audit/mosaic.ts';
import {
  armRecords,
  collected,
  journalsOf,
  measuredCell,
  rowOf,
  tableOf,
} from '../../../helpers/audit-journals.ts';
import { closeAudit, miniAudit } from '../../../helpers/mini-audit.ts';
import type { MiniAudit } from '../../../helpers/mini-audit.ts';
import { miniGapModel } from '../../../helpers/mini-gap.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };

describe('the part on mediation', () => {
  let context: MiniAudit;
  let records: PartRecord[];
  let width: number;

  const summary = async (
    arms: Readonly<Record<string, readonly (string | null)[]>> = {},
  ): Promise<AuditPart> =>
    MEDIATION_PART.summarise(
      journalsOf(
        MEDIATION_PART,
        records,
        Object.fromEntries(
          Object.entries(arms).map(([name, answers]) => [name, armRecords(context, answers)]),
        ),
      ),
      FACTS,
    );
  const expected = (): string[] => context.rows.map(({ prediction }) => prediction.expected);

  beforeAll(async () => {
    const model = await miniGapModel({ heads: 2, layers: 2, seed: 3 });
    width = model.bundle.checkpoint.config.text.hiddenSize;
    context = await miniAudit(model, [{}, {}, { spans: [] }, {}, {}, { spans: [2] }, {}, {}]);
    records = await collected(MEDIATION_PART, context);
  });
  afterAll(() => closeAudit(context));

  it('measures similarity as loops over all pairs of vectors do', async () => {
    const part = await summary();
    const vectorsOf = {
      'injected latents': context.rows.map(({ result }) => result.latents),
      'query picture embeddings': context.rows.map(({ item }) => {
        const { pictureRows_MD: all } = item;
        return Array.from({ length: all.length / width }, (_, n) =>
          all.subarray(n * width, (n + 1) * width),
        );
      }),
    };
    for (const [name, vectors] of Object.entries(vectorsOf)) {
      const rows = context.rows.flatMap(({ prediction, result }, i) =>
        result.latents.length > 0 ? [{ task: prediction.task, own: vectors[i] ?? [] }] : [],
      );
      const pairs = (a: readonly Float32Array[], b: readonly Float32Array[]): number[] =>
        a.flatMap((x) => b.flatMap((y) => (x === y ? [] : [cosine(x, y)])));
      const between = (same: boolean): number =>
        mean(
          rows.flatMap((one) => {
            const others = rows.filter((two) => two !== one && (two.task === one.task) === same);
            return others.length > 0
              ? [mean(others.map((two) => mean(pairs(one.own, two.own))))]
              : [];
          }),
        );
      const row = rowOf(tableOf(part, 'mediation-similarity'), name);
      expect(row['n']).toBe(rows.length);
      expect(measuredCell(row['sameTask']).value).toBeCloseTo(between(true), 5);
      expect(measuredCell(row['otherTask']).value).toBeCloseTo(between(false), 5);
      const within = mean(rows.map(({ own }) => mean(pairs(own, own))));
      expect(measuredCell(row['within']).value).toBeCloseTo(within, 5);
    }
  });

  it('compares places of whole spans with the same places of others', async () => {
    const whole = context.rows.filter(({ result }) => result.latents.length === 4);
    const own = whole.map((one) => {
      const others = whole.filter(
        (two) => two !== one && two.prediction.task === one.prediction.task,
      );
      const at = (k: number): number =>
        mean(
          others.map((two) =>
            cosine(
              one.result.latents[k] ?? new Float32Array(0),
              two.result.latents[k] ?? new Float32Array(0),
            ),
          ),
        );
      return mean([0, 1, 2, 3].map(at));
    });
    const row = rowOf(tableOf(await summary(), 'mediation-similarity'), 'injected latents');
    expect(measuredCell(row['samePlace']).value).toBeCloseTo(mean(own), 6);
    const states = rowOf(tableOf(await summary(), 'mediation-similarity'), 'states at latents');
    expect(states['samePlace']).toBe(null);
  });

  it('knows a span that is the same in every example, however much its places differ', () => {
    const span = Float32Array.of(1, 0, 0, 1, -1, 0);
    const [one] = samePlaceCosines(
      [
        { task: 'a', vectors_KD: span },
        { task: 'a', vectors_KD: span.map((x) => 3 * x) },
        { task: 'b', vectors_KD: span.map((x) => -x) },
      ],
      2,
    );
    expect(one?.sameTask).toBeCloseTo(1, 12);
    expect(one?.otherTask).toBeCloseTo(-1, 12);
    const single = samePlaceCosines([{ task: 'a', vectors_KD: span }], 2);
    expect(single).toEqual([{}]);
  });

  it('means directions, and leaves vectors of no length without one', () => {
    expect([...meanDirection(Float32Array.of(3, 4, 0, 0, 0, 2), 2)]).toEqual(
      [0.6 / 3, (0.8 + 1) / 3].map((x) => expect.closeTo(x, 7) as number),
    );
  });

  it('declares answers without sight of the picture, from own and from other latents', async () => {
    const arms = (await MEDIATION_PART.arms?.(context)) ?? [];
    expect(arms.map(({ name, afterSpan }) => [name, afterSpan])).toEqual([
      ['picture-hidden', 'picture-hidden'],
      ['picture-hidden-other', 'picture-hidden'],
    ]);
    const { rows } = context;
    const alone = (await MEDIATION_PART.arms?.({ ...context, rows: rows.slice(0, 1) })) ?? [];
    expect(alone.map(({ name }) => name)).toEqual(['picture-hidden']);
    const donor = rows[donorOf(rows, 0) ?? 0];
    const given = arms[1]?.given?.(rows[0] as (typeof rows)[0], 0);
    expect(given).toEqual(Float32Array.from(donor?.result.latents.flatMap((x) => [...x]) ?? []));
    expect(donor).not.toBe(rows[0]);
  });

  it('counts answers that change and answers that are the other example’s', async () => {
    const right = expected();
    const donors = records.map((record) => (record as MediationRecord).donor?.expected);
    const part = await summary({
      clean: right,
      mean: right.map(() => 'nothing'),
      'picture-hidden': right,
      'picture-hidden-other': right.map((own, i) => donors[i] ?? own),
    });
    const replaced = rowOf(tableOf(part, 'mediation-answers'), 'mean latent of each place');
    expect(replaced['n']).toBe(7);
    expect(measuredCell(replaced['accuracy']).value).toBe(0);
    expect(measuredCell(replaced['difference']).value).toBe(-1);
    expect(measuredCell(replaced['changed']).value).toBe(1);
    // Seven rows out of seven, each way 1/128.
    expect(replaced['p']).toBeCloseTo(2 / 128, 12);
    const hidden = tableOf(part, 'mediation-hidden');
    const own = rowOf(hidden, 'own latents, picture hidden');
    const other = rowOf(hidden, "another example's latents, picture hidden");
    expect(measuredCell(own['donor']).value).toBe(0);
    expect(measuredCell(other['donor']).value).toBe(1);
    expect(part.notes).toEqual(['arms that were not run: noise-spectrum, zero-vector']);
    expect(part.findings.join(' ')).toMatch(/0\.0 % right, -100\.0 points/);
  });

  it('goes on behind what is journalled and leaves rows without a span without directions', async () => {
    expect(await collected(MEDIATION_PART, context, 4)).toEqual(records.slice(4));
    expect(records[2]).toEqual({ id: 'example-2', task: 'even', triggered: false });
  });

  it('is not measured where no latents were written', () => {
    const silent = { ...context, rows: context.rows.slice(2, 3) };
    expect(MEDIATION_PART.obstacle(silent)).toMatch(/no latents/);
    expect(MEDIATION_PART.obstacle(context)).toBe(undefined);
  });

  it('draws what vega-lite takes', async () => {
    for (const { spec } of (await summary()).figures) expect(() => compile(spec)).not.toThrow();
  });
});
