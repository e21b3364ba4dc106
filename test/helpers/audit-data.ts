// Owns made-up but plausible audits for tests of src/report; their numbers mean nothing.
import { PART_NAMES } from '../../src/audit/types.ts';
import type { Audit, PartName } from '../../src/audit/types.ts';
import { HOSTILE } from './audit-charts.ts';
import { ARMS, gap, ITEMS, PARTS, share } from './audit-parts.ts';

export { HOSTILE } from './audit-charts.ts';

/** An audit with all ten parts, hostile texts among its data. */
export function fullAudit(): Audit {
  return {
    format: 'gapvl.audit.1',
    model: {
      folder: 'runs/study/s0-gap',
      variant: 'gap',
      hash: 'sha256:6b5f0c1f7a2f4f8f3a1f0e6c0d9a7b1e5c3d2f4a6b8c0d1e2f3a4b5c6d7e8f90',
      numLatents: 36,
    },
    data: {
      folder: 'runs/data',
      split: 'test',
      n: ITEMS,
      hash: 'sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0',
    },
    seed: 7,
    versions: { gapvl: '0.1.0', 'onnxruntime-node': '1.30.0', 'Node.js': '20.20.2' },
    canaries: [
      {
        name: 'identity',
        passed: true,
        seen: '400 of 400 rows have the same logits, bit by bit, when latents are replaced by themselves.',
        expected: 'all of them',
      },
      {
        name: 'destruction',
        passed: true,
        seen: 'Zero vectors change the logits behind the span in 400 of 400 rows, by 3.1 at the median.',
        expected: 'a change in every row',
      },
      {
        name: 'trigger',
        passed: true,
        seen: '100 % of the rows write a span.',
        expected: 'more than 0 %',
      },
    ],
    verdict: {
      kind: 'used',
      sentence:
        'The content of the latents decides answers: clean beats every arm that takes it away.',
      because: [
        "Clean is 55.2 points (51.0 to 59.3) better than another example's latents.",
        'Clean is 49.5 points (45.1 to 53.8) better than markers only.',
        'Clean is 48.9 points (44.6 to 53.2) better than zero-latent.',
      ],
      wouldChange:
        'An interval of one of the three comparisons that holds 0. With 400 questions a difference of 4.1 points would have been seen.',
    },
    card: [
      { label: 'accuracy, clean', value: share(0.853), format: 'percent' },
      { label: "against another example's latents", value: gap(0.552), format: 'points' },
      { label: 'against zero-latent', value: gap(0.489), format: 'points' },
      { label: 'rows that write latents', value: 1, format: 'percent' },
      { label: 'norm against the query picture', value: 0.973, format: 'number' },
    ],
    parts: PART_NAMES.map((name) => PARTS[name]()),
    skipped: [],
    timings: [
      { what: 'clean answers', seconds: 41.7 },
      ...ARMS.map(([what], i) => ({ what: `arm: ${what}`, seconds: 14.2 - 0.9 * i })),
      { what: 'part: probe', seconds: 9.4 },
      { what: 'part: pictures', seconds: 2.25 },
    ],
  };
}

/** The same without its oracle parts, as data without auxiliary pictures give. */
export function partialAudit(): Audit {
  const full = fullAudit();
  const gone: readonly PartName[] = ['oracle', 'exposure', 'pictures'];
  return {
    ...full,
    parts: full.parts.filter(({ name }) => !gone.includes(name)),
    skipped: gone.map((name) => ({
      name,
      reason: `The dataset has no auxiliary pictures, so there is no target to compare with. ${HOSTILE}`,
    })),
  };
}

/** An audit whose canary failed: no verdict. */
export function refusedAudit(): Audit {
  const full = fullAudit();
  return {
    ...full,
    canaries: full.canaries.map((canary) =>
      canary.name === 'destruction'
        ? { ...canary, passed: false, seen: 'Zero vectors change the logits in 0 of 400 rows.' }
        : canary,
    ),
    verdict: {
      kind: 'refused',
      sentence: 'The latents never reach the model, so nothing can be said of their use.',
      because: ['The canary `destruction` failed.'],
      wouldChange: 'A decoder that reads its latents back.',
    },
    parts: full.parts.slice(0, 1),
  };
}

/** An audit of a model that writes no latents and of which nothing was measured. */
export function emptyAudit(): Audit {
  const full = fullAudit();
  return {
    ...full,
    model: { ...full.model, variant: 'base', numLatents: 0 },
    data: { ...full.data, n: 0 },
    canaries: [],
    verdict: {
      kind: 'open',
      sentence: 'There are too few questions to tell: 0, at least 120 are needed.',
      because: [],
      wouldChange: 'More questions.',
    },
    card: full.card.map((figure) => ({ ...figure, value: null })),
    parts: [],
    skipped: PART_NAMES.map((name) => ({ name, reason: 'The model writes no latents.' })),
    timings: [],
  };
}
