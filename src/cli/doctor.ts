// Owns `gapvl doctor`: looks at the machine, prints what it found and what to mend.
import { EXIT_CODES } from '../errors.ts';
import { renderTextTable } from '../report/text-table.ts';
import type { CliCommand } from './command.ts';
import { defineCommand } from './command.ts';
import type { Finding } from './machine.ts';
import { checkDisk, checkMemory, checkNode, checkPictures, checkRuntime } from './machine.ts';
import { checkSpeed, checkThreads } from './machine.ts';

const SIGNS = { ok: 'ok', note: 'note', wrong: 'WRONG' } as const;

/** The findings as a table, then what to do about those that are not fine. */
export function renderFindings(findings: readonly Finding[]): string {
  const table = renderTextTable({
    columns: [
      { heading: 'what', align: 'left' },
      { heading: 'state', align: 'left' },
      { heading: 'found', align: 'left' },
    ],
    rows: findings.map(({ name, state, value }) => [name, SIGNS[state], value]),
    notes: [],
  });
  const fixes = findings.flatMap(({ name, state, fix }) =>
    fix === undefined ? [] : [`${SIGNS[state]}  ${name}: ${fix}`],
  );
  const wrong = findings.filter(({ state }) => state === 'wrong').length;
  const verdict =
    wrong === 0 ? 'gapvl can run here.' : `gapvl cannot run here: ${wrong} of these are wrong.`;
  return [table, '', ...fixes, ...(fixes.length > 0 ? [''] : []), verdict].join('\n');
}

/** Exit code 1 when something is wrong, 0 otherwise. */
export const command: CliCommand = defineCommand({
  description:
    'Checks Node.js, ONNX Runtime and its devices, threads, memory, disk and picture decoding, ' +
    'measures the speed of a matrix product, and says what is wrong and how to mend it.',
  options: {},
  examples: ['gapvl doctor', 'gapvl doctor --json'],
  run: async (_values, context) => {
    const progress = context.progress('doctor');
    const checks: readonly (() => Promise<Finding[]>)[] = [
      async () => [checkNode(), checkThreads(), checkMemory(), await checkDisk(process.cwd())],
      async () => [await checkPictures()],
      () => checkRuntime(context.signal),
      async () => [await checkSpeed(context.clock, context.signal)],
    ];
    const findings: Finding[] = [];
    for (const [index, check] of checks.entries()) {
      context.signal.throwIfAborted();
      findings.push(...(await check()));
      progress.update(index + 1, checks.length);
    }
    progress.finish();
    const healthy = findings.every(({ state }) => state !== 'wrong');
    context.result(renderFindings(findings), { healthy, findings });
    if (!healthy) context.setExitCode(EXIT_CODES.other);
  },
});
