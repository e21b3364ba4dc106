// Tests the part of the audit on norms: its numbers against those made from the vectors themselves.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compile } from 'vega-lite';
import type { PartRecord } from '../../../../src/audit/part.ts';
import { NORMS_PART, spreadRows } from '../../../../src/audit/parts/norms.ts';
import { spectrum } from '../../../../src/audit/spectrum.ts';
import { sumsOf, spreadOf, addSums } from '../../../../src/audit/sums.ts';
import type { AuditPart } from '../../../../src/audit/types.ts';
import { countLiveSessions } from '../../../../src/engine/session.ts';
import { norm } from '../../../../src/latent/feedback.ts';
import { mean, sampleStd } from '../../../../src/evaluate/statistics.ts';
import { Rng } from '../../../../src/rng.ts';
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
import { randomRows } from '../../../helpers/mini-model.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };

function rowsOf(matrix: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: matrix.length / width }, (_, n) =>
    matrix.subarray(n * width, (n + 1) * width),
  );
}

describe('the part on norms', () => {
  const sessionsBefore = countLiveSessions();
  let context: MiniAudit;
  let records: PartRecord[];
  let part: AuditPart;

  beforeAll(async () => {
    const model = await miniGapModel({ heads: 2, layers: 3, seed: 3 });
    context = await miniAudit(model, [{}, {}, { spans: [] }, { spans: [4, 2] }, {}]);
    records = await collected(NORMS_PART, context);
    const words = context.rows.map(({ prediction }) => prediction.expected);
    part = await NORMS_PART.summarise(
      journalsOf(NORMS_PART, records, {
        clean: armRecords(context, words, 6),
        ema: armRecords(context, [null, ...words.slice(1)], 3),
      }),
      FACTS,
    );
  });
  afterAll(async () => {
    await closeAudit(context);
    expect(countLiveSessions()).toBe(sessionsBefore);
  });

  it('has a record for every row and one for every set of vectors', () => {
    expect(records.map(({ id }) => id)).toEqual([
      ...context.rows.map(({ prediction }) => prediction.id),
      ...['spectrum-latents', 'spectrum-auxiliary', 'spectrum-query'],
    ]);
  });

  it('tells norms of what is read: latents and picture embeddings as they were given', () => {
    const table = tableOf(part, 'norms-vectors');
    const width = context.model.bundle.checkpoint.config.text.hiddenSize;
    const latents = context.rows.flatMap(({ result }) => result.latents.map(norm));
    const pictures = context.rows.flatMap(({ item }) =>
      rowsOf(item.pictureRows_MD, width).map(norm),
    );
    const [injected, query] = [
      rowOf(table, 'injected latent'),
      rowOf(table, 'query picture embedding'),
    ];
    expect(injected['n']).toBe(latents.length);
    expect(query['n']).toBe(pictures.length);
    expect(injected['log']).toBeCloseTo(mean(latents.map(Math.log)), 5);
    expect(injected['logStd']).toBeCloseTo(sampleStd(latents.map(Math.log)) ?? NaN, 5);
    expect(query['length']).toBeCloseTo(mean(pictures), 4);
    expect(injected['ratio']).toBeCloseTo(mean(latents) / mean(pictures), 5);
    expect(query['ratio']).toBeCloseTo(1, 12);
  });

  it('has a row for the input, every layer and the final norm, all with numbers', () => {
    const { rows } = tableOf(part, 'norms-layers');
    expect(rows.map(({ layer }) => layer)).toEqual(['input', '1', '2', '3', 'final norm']);
    for (const row of rows)
      for (const kind of ['text', 'vision', 'latent'])
        expect(Number.isFinite(row[kind])).toBe(true);
    const injected = rowOf(tableOf(part, 'norms-vectors'), 'injected latent');
    // Once from the graph in f32, once from the vectors.
    expect(rows[0]?.['latent']).toBeCloseTo(Number(injected['log']), 6);
  });

  it('takes the spectrum of all vectors of a set', async () => {
    const width = context.model.bundle.checkpoint.config.text.hiddenSize;
    const latents = context.rows.flatMap(({ result }) => result.latents);
    const all_ND = Float32Array.from(latents.flatMap((latent) => [...latent]));
    const own = await spectrum(all_ND, width);
    const row = rowOf(tableOf(part, 'norms-spectrum'), 'injected latents');
    expect(row['n']).toBe(latents.length);
    expect(row['rank']).toBeCloseTo(own.effectiveRank, 4);
    expect([row['dims90'], row['dims95'], row['dims99']]).toEqual([
      own.dims90,
      own.dims95,
      own.dims99,
    ]);
    const queries = rowOf(tableOf(part, 'norms-spectrum'), 'embeddings of query pictures');
    const total = context.rows.reduce((n, { item }) => n + item.pictureRows_MD.length / width, 0);
    expect(queries['n']).toBe(total);
  });

  it('holds norm calibration against clean decoding, paired', () => {
    const row = rowOf(tableOf(part, 'norms-ema'), 'rescaled to a running mean norm');
    expect(row['accuracy']).toBeCloseTo(0.8, 12);
    expect(measuredCell(row['difference']).value).toBeCloseTo(-0.2, 12);
    expect(row['norm']).toBe(3);
    expect(part.findings.join(' ')).toMatch(/6 becomes 3 on average.*-20\.0 points/);
  });

  it('goes on behind what is journalled, wherever that ends', async () => {
    for (const done of [1, 3, 5, 6, 8]) {
      expect(await collected(NORMS_PART, context, done)).toEqual(records.slice(done));
    }
  });

  it('draws what vega-lite takes', () => {
    for (const { spec } of part.figures) expect(() => compile(spec)).not.toThrow();
    expect(part.figures[0]?.alt).toMatch(/latent: .* at the input/);
  });

  it('says so when no latents were written, and has no arm then', async () => {
    const silent = { ...context, rows: context.rows.slice(2, 3) };
    expect(await NORMS_PART.arms?.(silent)).toEqual([]);
    const own = await collected(NORMS_PART, silent);
    const told = await NORMS_PART.summarise(journalsOf(NORMS_PART, own), FACTS);
    expect(told.findings[0]).toMatch(/^No latents were written/);
    expect(told.notes).toContain('norm calibration was not run');
  });
});

describe('rows that a spectrum is made of', () => {
  it('are all, or evenly spread over matrices of any sizes', () => {
    const rows = Float32Array.from({ length: 10 }, (_, i) => i);
    const matrices = [
      rows.subarray(0, 2),
      rows.subarray(2, 2),
      rows.subarray(2, 8),
      rows.subarray(8),
    ];
    expect([...spreadRows(matrices, 2).rows_ND]).toEqual([...rows]);
    expect(spreadRows(matrices, 2, 2)).toEqual({
      available: 5,
      rows_ND: Float32Array.of(0, 1, 6, 7),
    });
    expect([...spreadRows(matrices, 2, 3).rows_ND]).toEqual([0, 1, 4, 5, 8, 9]);
    expect(spreadRows([], 2).available).toBe(0);
  });
});

describe('sums', () => {
  it('give the same mean and deviation however they are cut', () => {
    const values = Array.from(randomRows(new Rng(9), 50), (x) => 3 + x);
    const cut = [sumsOf(values.slice(0, 7)), sumsOf(values.slice(7)), sumsOf([NaN, -Infinity])];
    const { mean: whole, std, count } = spreadOf(cut.reduce(addSums));
    expect(count).toBe(50);
    expect(whole).toBeCloseTo(mean(values), 12);
    expect(std).toBeCloseTo(sampleStd(values) ?? NaN, 10);
    expect(spreadOf(sumsOf([1, 2, 6])).std).toBeCloseTo(Math.sqrt(7), 12);
    expect(spreadOf(sumsOf([])).mean).toBe(null);
  });
});
