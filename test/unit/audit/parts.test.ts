// Owns the tests of the parts that change pictures and texts, on a small trained model and real files.
import { cp, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAudit } from '../../../src/audit/audit.ts';
import type { AuditOptions } from '../../../src/audit/audit.ts';
import { editedPictures } from '../../../src/audit/edited-pictures.ts';
import { joinRows, latentDistance } from '../../../src/audit/latent-distance.ts';
import type { ArmRecord, AuditContext } from '../../../src/audit/part.ts';
import { COUNTERFACTUAL_PART } from '../../../src/audit/parts/counterfactual.ts';
import type { CounterfactualRecord } from '../../../src/audit/parts/counterfactual-records.ts';
import { ORACLE_PART } from '../../../src/audit/parts/oracle.ts';
import type { ParserRecord } from '../../../src/audit/parts/parser-records.ts';
import type { ShownRecord } from '../../../src/audit/parts/pictures.ts';
import type { OracleRecord } from '../../../src/audit/picture-oracle.ts';
import { AUDIT_RUN_FILE } from '../../../src/audit/summary.ts';
import type { Audit } from '../../../src/audit/types.ts';
import { loadPictures, prepareExamples } from '../../../src/context/prepared.ts';
import { loadDataset } from '../../../src/data/dataset.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { scoreAnswer } from '../../../src/evaluate/answers.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import { generateBatch } from '../../../src/generate/generate.ts';
import { questionRequest } from '../../../src/generate/question.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { decodePicture } from '../../../src/processor/picture.ts';
import { Rng } from '../../../src/rng.ts';
import { readGapModel } from '../../../src/store/latent-head.ts';
import { LATENTS, SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

const TEXT_TOKENS = 24;
const SEED = 3;
const PARTS = ['counterfactual', 'parser', 'oracle', 'pictures'] as const;

async function finish(options: AuditOptions): Promise<Audit> {
  const run = runAudit(options);
  for (;;) {
    const next = await run.next();
    if (next.done === true) return next.value;
  }
}

async function linesOf<T>(out: string, file: string): Promise<T[]> {
  const text = await readFile(join(out, 'items', file), 'utf8');
  const [, ...lines] = text.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as T);
}

describe('the parts that change pictures and texts', () => {
  let way: SmallWay;
  let audit: Audit;
  let out: string;
  const options = (name: string, rest: Partial<AuditOptions> = {}): AuditOptions => ({
    ...SESSION,
    ...{ model: way.model, data: way.data, split: 'test', seed: SEED, batchSize: 12 },
    out: join(way.folder, name),
    only: PARTS,
    maxTextTokens: TEXT_TOKENS,
    ...rest,
  });

  beforeAll(async () => {
    way = await makeSmallWay();
    out = join(way.folder, 'whole');
    audit = await finish(options('whole'));
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await way[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
  });

  it('all have something to say', () => {
    expect(audit.parts.map(({ name }) => name)).toEqual(PARTS);
    for (const { findings, definition } of audit.parts) {
      expect(findings.length).toBeGreaterThan(0);
      expect(definition.length).toBeGreaterThan(100);
    }
  });

  it('answer every edited picture as decoding it alone does', async () => {
    const records = await linesOf<CounterfactualRecord>(out, 'part-counterfactual.jsonl');
    expect(records).toHaveLength(20);
    const clean = await linesOf<ArmRecord>(out, 'arm-clean.jsonl');
    const model = await readGapModel(way.model);
    await using encoder = new PictureEncoder(model.bundle, SESSION);
    await using decoder = await Decoder.create(model, SESSION);
    const examples = (await loadDataset(way.data, { split: 'test' })).slice(0, 4);
    const crossedIds = new Set<string>();
    for (const [i, example] of examples.entries()) {
      const { picture } = await loadPictures(way.data, example);
      const rng = new Rng(SEED).fork('counterfactual').fork(example.id);
      const edits = editedPictures(example, picture, rng) ?? [];
      const record = records[i];
      expect(record?.edits.map(({ what }) => what)).toEqual(edits.map(({ what }) => what));
      // One by one, each its own prompt: what the journal says must not depend on the batch.
      const decodeAlone = async (shown: typeof picture, replacement?: Float32Array) => {
        const [item] = await prepareExamples(model.bundle, encoder, [example], {
          load: () => Promise.resolve({ picture: shown }),
        });
        const [result] = await generateBatch(
          decoder,
          [
            {
              promptIds: item?.promptIds ?? [],
              grids: item ? [item.grid] : [],
              pictureRows_MD: item?.pictureRows_MD ?? new Float32Array(0),
              rng: new Rng(SEED),
              ...(replacement ? { replacement } : {}),
            },
          ],
          {
            ...{ numLatents: LATENTS, maxNewTokens: TEXT_TOKENS + LATENTS + 2, temperature: 0 },
            intervention: { kind: replacement ? 'given' : 'clean' },
            calibration: { kind: 'none' },
          },
        );
        return result;
      };
      const before = await decodeAlone(picture);
      for (const [n, edit] of edits.entries()) {
        const result = await decodeAlone(edit.picture);
        const said = record?.edits[n];
        const response = model.bundle.tokenizer.decode(result?.ids ?? []);
        const { answer, correct } = scoreAnswer(response, edit.answer);
        expect(said?.answer).toBe(answer ?? null);
        expect(said?.correct).toBe(correct);
        expect(said?.changed).toBe((answer ?? null) !== (clean[i]?.answer ?? null));
        const distance = latentDistance(before?.latents ?? [], result?.latents ?? []);
        if (distance === null) expect(said?.l2).toBeNull();
        else expect(said?.l2).toBeCloseTo(distance.l2, 3);
        // The first flip is also read the other way round: its latents, the original picture.
        const isCrossed =
          edit.effect === 'flip' && distance !== null && !crossedIds.has(example.id);
        if (!isCrossed) continue;
        crossedIds.add(example.id);
        const crossed = await decodeAlone(picture, joinRows(result?.latents ?? []));
        const heard = scoreAnswer(model.bundle.tokenizer.decode(crossed?.ids ?? []), edit.answer);
        expect(record?.crossed?.what).toBe(edit.what);
        expect(record?.crossed?.answer).toBe(heard.answer ?? null);
        expect(record?.crossed?.followsLatents).toBe(heard.correct);
        expect(record?.crossed?.followsPicture).toBe(heard.answer === example.answer);
      }
    }
    expect(crossedIds.size).toBeGreaterThan(0);
  });

  it('move latents least where nothing can be seen', async () => {
    const records = await linesOf<CounterfactualRecord>(out, 'part-counterfactual.jsonl');
    const mean = (effect: string): number => {
      const moved = records
        .flatMap(({ edits }) => edits)
        .flatMap(({ effect: own, l2 }) => (own === effect && l2 !== null ? [l2] : []));
      expect(moved.length).toBeGreaterThan(0);
      return moved.reduce((sum, l2) => sum + l2, 0) / moved.length;
    };
    expect(mean('floor')).toBeGreaterThan(0);
    expect(mean('floor')).toBeLessThan(mean('flip') / 2);
    expect(mean('floor')).toBeLessThan(mean('control') / 2);
  });

  it('put the generic parser texts of the tasks at chance exactly, and say so', async () => {
    const records = await linesOf<ParserRecord>(out, 'part-parser.jsonl');
    expect(records.length).toBeGreaterThan(0);
    for (const { standings, numTexts } of records) {
      const text = standings?.text;
      if (text) expect([text.better, text.ties]).toEqual([0, text.candidates - 1]);
      if (standings) expect(numTexts).toBe(1);
    }
    const part = audit.parts.find(({ name }) => name === 'parser');
    expect(part?.notes.join(' ')).toContain('chance by construction');
  });

  it('go on behind an untouched parser text to the clean response', async () => {
    const clean = await linesOf<ArmRecord>(out, 'arm-clean.jsonl');
    const kept = await linesOf<ArmRecord>(out, 'arm-parser-kept.jsonl');
    const random = await linesOf<ArmRecord>(out, 'arm-parser-random.jsonl');
    let numCut = 0;
    clean.forEach(({ response, triggered }, i) => {
      if (!triggered || !response.includes('</parser>')) return;
      numCut += 1;
      expect(kept[i]?.response).toBe(response);
      expect(random[i]?.response).not.toBe(response);
      const open = response.indexOf('<parser>');
      expect(random[i]?.response.slice(0, open)).toBe(response.slice(0, open));
    });
    expect(numCut).toBeGreaterThan(0);
  });

  it('ask with one picture as the arm without latents does, and otherwise with two', async () => {
    const records = await linesOf<OracleRecord>(out, 'part-oracle.jsonl');
    const zero = await linesOf<ArmRecord>(out, 'arm-zero-latent.jsonl');
    expect(records).toHaveLength(20);
    records.forEach(({ id, one, two }, i) => {
      expect(zero[i]?.id).toBe(id);
      expect(one.answer).toBe(zero[i]?.answer);
      expect(two).not.toBeNull();
    });
    expect(records.some(({ one, two }) => one.answer !== two?.answer)).toBe(true);
  });

  it('give both pictures as a question about two pictures does', async () => {
    const records = await linesOf<OracleRecord>(out, 'part-oracle.jsonl');
    const model = await readGapModel(way.model);
    await using decoder = await Decoder.create(model, SESSION);
    const examples = (await loadDataset(way.data, { split: 'test' })).slice(0, 6);
    for (const [i, example] of examples.entries()) {
      const { picture, auxiliary } = await loadPictures(way.data, example);
      const request = await questionRequest(
        model,
        {
          ...SESSION,
          pictures: auxiliary ? [picture, auxiliary] : [],
          ...{ question: example.question, seed: 0 },
        },
        LATENTS,
      );
      const [result] = await generateBatch(decoder, [request], {
        ...{ numLatents: LATENTS, maxNewTokens: TEXT_TOKENS + LATENTS + 2, temperature: 0 },
        ...{ intervention: { kind: 'zero-latent' }, calibration: { kind: 'none' } },
      });
      const response = model.bundle.tokenizer.decode(result?.ids ?? []);
      const { answer, correct } = scoreAnswer(response, example.answer);
      expect(records[i]?.two).toEqual({ answer: answer ?? null, correct });
    }
  });

  it('show six examples with pictures of the right sizes', async () => {
    const records = await linesOf<ShownRecord>(out, 'part-pictures.jsonl');
    expect(records).toHaveLength(6);
    for (const { query, auxiliary, mosaic, attention } of records) {
      const sizes = [query, auxiliary, mosaic, attention].map(async (file) => {
        const { width } = await decodePicture(Buffer.from(file ?? '', 'base64'), { name: 'a' });
        return width;
      });
      // A mosaic of 2 x 2 patches of 16 px, the auxiliary picture at that size, the query twice.
      expect(await Promise.all(sizes)).toEqual([96, 32, 32, 96]);
    }
    const shown = audit.parts.find(({ name }) => name === 'pictures')?.pictures ?? [];
    expect(shown.map(({ pictures }) => pictures.length)).toEqual([4, 4, 4, 4, 4, 4]);
  });

  it('go on where they were cut off, to the same bytes', async () => {
    const again = join(way.folder, 'cut');
    await cp(out, again, { recursive: true });
    await rm(join(again, AUDIT_RUN_FILE));
    const files = PARTS.map((name) => `items/part-${name}.jsonl`);
    for (const file of files) {
      const lines = (await readFile(join(again, file), 'utf8')).split('\n');
      await truncate(join(again, file), Buffer.byteLength(lines.slice(0, 4).join('\n')) + 9);
    }
    expect(await finish(options('cut'))).toEqual(audit);
    for (const file of files) {
      expect(await readFile(join(again, file), 'utf8')).toBe(
        await readFile(join(out, file), 'utf8'),
      );
    }
  });

  it('measure the second picture on a base that has no latents, and say why not the rest', async () => {
    const base = await finish(options('base', { model: way.base }));
    expect(base.parts.map(({ name }) => name)).toEqual(['counterfactual', 'oracle']);
    const reasons = base.skipped.filter(({ name }) => name === 'parser' || name === 'pictures');
    for (const { reason } of reasons) expect(reason).toContain('not trained to write latents');
    const oracle = base.parts.find(({ name }) => name === 'oracle');
    expect(oracle?.tables[0]?.columns.map(({ key }) => key)).toEqual([
      ...['task', 'n', 'clean', 'one', 'two'],
    ]);
    const records = await linesOf<OracleRecord>(join(way.folder, 'base'), 'part-oracle.jsonl');
    const clean = await linesOf<ArmRecord>(join(way.folder, 'base'), 'arm-clean.jsonl');
    expect(records.map(({ one }) => one.answer)).toEqual(clean.map(({ answer }) => answer));
  });
});

describe('datasets that lack something', () => {
  const contextOf = (example: Readonly<Record<string, unknown>>) =>
    ({ rows: [{ item: { example } }] }) as unknown as AuditContext;

  it('have no counterfactual pictures without seeds, and no oracle without auxiliary pictures', () => {
    const own = { id: 'a', task: 'rope', difficulty: 'hard', image: 'a.png' };
    expect(COUNTERFACTUAL_PART.obstacle(contextOf(own))).toContain('seed');
    expect(COUNTERFACTUAL_PART.obstacle(contextOf({ ...own, seed: 1 }))).toBeUndefined();
    expect(ORACLE_PART.obstacle(contextOf(own))).toContain('auxiliary picture');
    expect(ORACLE_PART.obstacle(contextOf({ ...own, auxiliary: 'b.png' }))).toBeUndefined();
  });
});
