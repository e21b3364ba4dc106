// Owns the tests of a whole audit on real files: journals, resume, recomputation, canaries.
import { spawnSync } from 'node:child_process';
import { cp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runAudit } from '../../../src/audit/audit.ts';
import type { AuditEvent, AuditOptions } from '../../../src/audit/audit.ts';
import type { ArmRecord } from '../../../src/audit/part.ts';
import { AUDIT_RUN_FILE, summariseAudit } from '../../../src/audit/summary.ts';
import type { Audit } from '../../../src/audit/types.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { ConfigError, DataError } from '../../../src/errors.ts';
import { compareModels } from '../../../src/evaluate/compare.ts';
import type { Prediction } from '../../../src/evaluate/evaluate.ts';
import { SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

const TEXT_TOKENS = 24;
const PARTS = ['replacement', 'exposure'] as const;

async function finish(options: AuditOptions): Promise<{ audit: Audit; events: AuditEvent[] }> {
  const events: AuditEvent[] = [];
  const run = runAudit(options);
  for (;;) {
    const next = await run.next();
    if (next.done === true) return { audit: next.value, events };
    events.push(next.value);
  }
}

async function armOf(out: string, name: string): Promise<ArmRecord[]> {
  const text = await readFile(join(out, `items/arm-${name}.jsonl`), 'utf8');
  const [, ...lines] = text.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as ArmRecord);
}

async function contents(out: string): Promise<Map<string, string>> {
  const names = (await readdir(join(out, 'items'))).sort();
  const read = names.map(
    async (name) => [name, await readFile(join(out, 'items', name), 'utf8')] as const,
  );
  return new Map(await Promise.all(read));
}

describe('an audit', () => {
  let way: SmallWay;
  let audit: Audit;
  let events: AuditEvent[];
  const options = (name: string, rest: Partial<AuditOptions> = {}): AuditOptions => ({
    ...SESSION,
    ...{ model: way.model, data: way.data, split: 'test', seed: 3, batchSize: 8 },
    out: join(way.folder, name),
    only: PARTS,
    maxTextTokens: TEXT_TOKENS,
    ...rest,
  });

  beforeAll(async () => {
    way = await makeSmallWay();
    ({ audit, events } = await finish(options('whole')));
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await way[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
  });

  it('has a record of every example for every arm, and tells how far it is', async () => {
    const run = JSON.parse(await readFile(join(way.folder, 'whole', AUDIT_RUN_FILE), 'utf8')) as {
      arms: string[];
    };
    expect(run.arms).toContain('markers-only');
    for (const name of run.arms)
      expect(await armOf(join(way.folder, 'whole'), name)).toHaveLength(20);
    const last = events.at(-1);
    expect(last?.done).toBe(last?.total);
    expect(audit.skipped.map(({ reason }) => reason)).toEqual(
      audit.skipped.map(() => 'not asked for'),
    );
  });

  it('decodes as a comparison does: same responses, clean and under every arm both know', async () => {
    const out = join(way.folder, 'compared');
    const interventions = ['clean', 'zero-latent', 'noise-unit', 'noise-norm', 'oracle'] as const;
    const run = compareModels({
      ...SESSION,
      models: [{ name: 'model', folder: way.model }],
      ...{ data: way.data, split: 'test', interventions, out, seed: 3 },
      maxTextTokens: TEXT_TOKENS,
    });
    while ((await run.next()).done !== true);
    for (const name of interventions) {
      const text = await readFile(join(out, 'predictions', `model.${name}.jsonl`), 'utf8');
      const [, ...lines] = text.trimEnd().split('\n');
      const responses = lines.map((line) => (JSON.parse(line) as Prediction).response);
      const own = await armOf(join(way.folder, 'whole'), name);
      expect(own.map(({ response }) => response)).toEqual(responses);
    }
  });

  it('leaves everything as it is when latents are replaced by themselves, and only then', async () => {
    const out = join(way.folder, 'whole');
    const clean = await armOf(out, 'clean');
    expect(clean.some(({ triggered }) => triggered)).toBe(true);
    expect(await armOf(out, 'identity')).toEqual(clean.map((r) => ({ ...r, targetError: null })));
    const zero = await armOf(out, 'zero-vector');
    zero.forEach((record, i) => {
      if (record.triggered && typeof clean[i]?.logitsHash === 'string')
        expect(record.logitsHash).not.toBe(clean[i].logitsHash);
      else expect(record.response).toBe(clean[i]?.response);
      if (record.triggered) expect(record.latentNorm).toBe(0);
    });
  });

  it('goes on where it was cut off, to the same bytes', async () => {
    const whole = await contents(join(way.folder, 'whole'));
    const out = join(way.folder, 'cut');
    await cp(join(way.folder, 'whole'), out, { recursive: true });
    await rm(join(out, AUDIT_RUN_FILE));
    await rm(join(out, 'items/arm-other.jsonl'));
    // Half a line in the middle of the second batch.
    const cut = join(out, 'items/arm-oracle.jsonl');
    const lines = (whole.get('arm-oracle.jsonl') ?? '').split('\n');
    await truncate(cut, Buffer.byteLength(lines.slice(0, 11).join('\n')) + 20);
    await expect(summariseAudit(out)).rejects.toThrow(DataError);
    const again = await finish(options('cut'));
    expect(await contents(out)).toEqual(whole);
    expect(again.audit).toEqual(audit);
  });

  it('stops at the abort signal and loses nothing it finished', async () => {
    const stop = new AbortController();
    const run = runAudit(options('stopped', { signal: stop.signal }));
    await expect(async () => {
      for await (const { what } of run) if (what === 'noise-unit') stop.abort(new Error('enough'));
    }).rejects.toThrow('enough');
    const kept = await armOf(join(way.folder, 'stopped'), 'noise-unit');
    expect(kept).toHaveLength(8);
    const again = await finish(options('stopped'));
    expect(again.audit).toEqual(audit);
  });

  it('makes the same result again from its journals alone', async () => {
    const out = join(way.folder, 'alone');
    await cp(join(way.folder, 'whole'), out, { recursive: true });
    await rm(join(out, 'audit.json'));
    expect(await summariseAudit(out)).toEqual(audit);
    const before = await readFile(join(way.folder, 'whole/audit.json'), 'utf8');
    expect(await readFile(join(out, 'audit.json'), 'utf8')).toBe(before);
  });

  it('agrees with code of its own that recomputes every number, which notices a wrong one', async () => {
    const out = join(way.folder, 'recomputed');
    await cp(join(way.folder, 'whole'), out, { recursive: true });
    const script = fileURLToPath(new URL('../../../tools/recompute-audit.ts', import.meta.url));
    const recompute = (): string =>
      spawnSync(process.execPath, ['--import', 'tsx', script, out], { encoding: 'utf8' }).stdout;
    expect(recompute()).toMatch(/\d{2,} passed, 0 failed\n$/);
    const path = join(out, 'audit.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace(/"trigger": [\d.]+/, '"trigger": 0.123'));
    expect(recompute()).toMatch(/ 1 failed\n$/);
  });

  it('refuses the folder of another audit, with what differs', async () => {
    await expect(finish(options('whole', { seed: 4 }))).rejects.toThrow(ConfigError);
    const out = join(way.folder, 'mixed');
    await cp(join(way.folder, 'whole'), out, { recursive: true });
    const path = join(out, 'items/arm-clean.jsonl');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"id":"', '"id":"x'));
    await expect(finish(options('mixed'))).rejects.toThrow(/arm-clean\.jsonl:2/);
  });

  it('says of a base that it writes no latents, and gives no verdict', async () => {
    const { audit: found } = await finish(options('base', { model: way.base }));
    expect(found.verdict.kind).toBe('refused');
    expect(found.verdict.because.join()).toContain('trigger');
    expect(found.skipped.find(({ name }) => name === 'replacement')?.reason).toContain(
      'no latents',
    );
  });

  it('holds retention against another model when one is named', async () => {
    const { audit: found } = await finish(options('with-base', { base: way.base }));
    const table = found.parts[0]?.tables.find(({ id }) => id === 'replacement');
    const base = table?.rows.find(({ arm }) => arm === 'Base model');
    expect(base?.['n']).toBe(20);
    expect(table?.note).toContain('Base model');
  });
});
