// Owns the tests that an audit is right where the truth is known by construction; test/known/ runs them for
// three models of a kind, and for copies that are broken on purpose.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KNOWN_SIZES, makeKnown } from '../../recipes/known/make.ts';
import type { KnownKind, KnownModel } from '../../recipes/known/make.ts';
import { runAudit } from '../../src/audit/audit.ts';
import type { AuditOptions } from '../../src/audit/audit.ts';
import type { Audit } from '../../src/audit/types.ts';
import { withBrokenInjection, withIgnoredEdits } from './broken-decoders.ts';

const SEEDS = [0, 1, 2];
const SESSION = { threads: 1, spinning: false };
/** For making all models: ten times what it takes on idle cores. */
const LIMIT_MS = 1_800_000;
const VERDICTS = { necessary: 'used', redundant: 'not-used' } as const;

/** Declares the tests of a kind. */
export function testKnown(kind: KnownKind): void {
  describe(`models whose latents are ${kind}`, () => {
    let folder: string;
    const made = new Map<number, KnownModel>();

    const audit = async (
      seed: number,
      out: string,
      rest: Partial<AuditOptions> = {},
    ): Promise<Audit> => {
      const known = made.get(seed);
      if (!known) throw new Error(`no model of seed ${seed}`);
      const run = runAudit({
        ...SESSION,
        ...known,
        ...{ split: 'test', seed: 1, only: ['replacement'], out: join(folder, out) },
        ...rest,
      });
      for (;;) {
        const next = await run.next();
        if (next.done === true) return next.value;
      }
    };

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'gapvl-known-'));
      for (const seed of SEEDS) {
        const options = {
          kind,
          seed,
          size: KNOWN_SIZES.small,
          folder: join(folder, `made-${seed}`),
        };
        const run = makeKnown({ ...SESSION, ...options });
        for (;;) {
          const next = await run.next();
          if (next.done !== true) continue;
          made.set(seed, next.value);
          break;
        }
      }
    }, LIMIT_MS);
    afterAll(async () => {
      await rm(folder, { recursive: true, force: true });
    });

    it.each(SEEDS)('are called so, seed %i', async (seed) => {
      const { verdict, canaries } = await audit(seed, `audit-${seed}`);
      expect(canaries.filter(({ passed }) => !passed)).toEqual([]);
      expect(verdict.kind, verdict.because.join('\n')).toBe(VERDICTS[kind]);
    });

    it('get no verdict when latents never reach the input', async () => {
      const { verdict } = await audit(0, 'injection', { wrapDecoder: withBrokenInjection });
      expect(verdict.kind).toBe('refused');
      expect(verdict.sentence).toContain('destruction');
    });

    it('get no verdict when replacements are ignored', async () => {
      const { verdict } = await audit(0, 'edits', { wrapDecoder: withIgnoredEdits });
      expect(verdict.kind).toBe('refused');
      expect(verdict.sentence).toContain('destruction');
    });
  });
}
