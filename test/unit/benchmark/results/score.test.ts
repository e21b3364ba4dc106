// Owns the checks of `gapvl evaluate score`: files of predictions, runs, judges, what is written and the codes.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readResult, readScores } from '../../../../src/benchmark/results/result.ts';
import type { EvaluationResult } from '../../../../src/benchmark/results/result.ts';
import { gapvl } from '../../../helpers/command-line.ts';
import { itemRecord, writeEvaluationRun } from '../../../helpers/evaluation-run.ts';
import {
  SERVED_MODEL,
  answer,
  failure,
  startOpenAiServer,
} from '../../../helpers/openai-server.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gapvl-score-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

let made = 0;
function fresh(extension = ''): string {
  return join(root, `${++made}${extension}`);
}

async function tsv(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  const path = fresh('.tsv');
  await writeFile(path, [columns, ...rows].map((row) => `${row.join('\t')}\n`).join(''));
  return path;
}

const STAR_COLUMNS = ['index', 'question', 'A', 'B', 'C', 'D', 'answer', 'category'];
function starRow(index: number): string[] {
  return [
    String(index),
    `How many? ${index}`,
    '4',
    '14',
    '40',
    '0',
    'ABCD'[index % 4] ?? '',
    'math',
  ];
}
/** Four rows with answers A to D. */
function starTable(): Promise<string> {
  return tsv(STAR_COLUMNS, [0, 1, 2, 3].map(starRow));
}

/** Scores and reads the line of JSON. */
async function scoreJson(argv: readonly string[]) {
  const { code, out } = await gapvl(['evaluate', 'score', '--json', ...argv]);
  return { code, result: JSON.parse(out) as EvaluationResult & { error: { what: string } } };
}

function overall({ headlines }: EvaluationResult): number | null {
  return headlines[0]?.percent ?? null;
}

const OWN = ['--benchmark', 'MMStar', '--any-table'];

describe('a file of predictions', () => {
  it('is scored from any format, with the columns of the table', async () => {
    const data = await starTable();
    const predictions = ['A', 'the answer is B', 'A', 'D'];
    const records = predictions.map((prediction, index) => ({ index, prediction }));
    const [json, jsonl] = [fresh('.json'), fresh('.jsonl')];
    await writeFile(json, JSON.stringify(records));
    await writeFile(jsonl, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    const text = await tsv(
      ['index', 'prediction'],
      predictions.map((one, i) => [String(i), one]),
    );
    for (const path of [json, jsonl, text]) {
      const { code, result } = await scoreJson([...OWN, '--predictions', path, '--data', data]);
      expect(code).toBe(0);
      expect(overall(result)).toBe(75);
      expect(result).toMatchObject({ status: 'complete', era: 'head', unwrap: 'raw' });
      expect(result.items).toMatchObject({ expected: 4, scored: 4, table: 4, errors: 0 });
    }
  });
  it('needs no table when it has all columns, and is then part of the benchmark', async () => {
    const path = await tsv(
      [...STAR_COLUMNS, 'prediction'],
      [0, 1, 2].map((index) => [...starRow(index), ['A', '', 'nan'][index] ?? '']),
    );
    const { code, result } = await scoreJson(['--benchmark', 'MMStar', '--predictions', path]);
    expect(code).toBe(0);
    expect(result).toMatchObject({ status: 'partial', data: null });
    expect(result.items).toMatchObject({ table: 1500, expected: 3, missing: 2 });
    expect(overall(result)).toBeCloseTo(100 / 3, 10);
  });
  it('is incomplete with code 3 when rows are absent, unless that is allowed', async () => {
    const data = await starTable();
    const path = await tsv(
      ['index', 'prediction'],
      [
        ['0', 'A'],
        ['1', 'B'],
        ['2', 'A'],
      ],
    );
    const argv = [...OWN, '--predictions', path, '--data', data];
    const { code, result } = await scoreJson(argv);
    expect(code).toBe(3);
    expect(result).toMatchObject({ status: 'incomplete', items: { absent: 1, scored: 3 } });
    expect(overall(result)).toBeCloseTo(200 / 3, 10);
    expect((await scoreJson([...argv, '--allow-errors'])).code).toBe(0);
  });
  it('is incomplete when it holds calls that failed, which the protocol calls wrong', async () => {
    const failed = 'Failed to obtain answer via API.';
    const rows = [failed, 'B', 'C', 'D'].map((one, i) => [...starRow(i), one]);
    const path = await tsv([...STAR_COLUMNS, 'prediction'], rows);
    const { code, result } = await scoreJson(['--benchmark', 'MMStar', '--predictions', path]);
    expect(code).toBe(3);
    expect(result.items.failedCalls).toBe(1);
    expect(overall(result)).toBe(75);
  });
  it('is scored raw or unwrapped, and says which', async () => {
    const data = await starTable();
    const texts = ['<think>B or C</think><answer>A</answer>', 'B', 'C', 'D'];
    const path = await tsv(
      ['index', 'prediction'],
      texts.map((one, i) => [String(i), one]),
    );
    const argv = [...OWN, '--predictions', path, '--data', data];
    expect(overall((await scoreJson(argv)).result)).toBe(75);
    const { result } = await scoreJson([...argv, '--unwrap', 'answer']);
    expect(result.unwrap).toBe('answer');
    expect(overall(result)).toBe(100);
    const { out } = await gapvl(['evaluate', 'score', ...argv, '--unwrap', 'answer']);
    expect(out).toContain('texts without thinking and one enclosing <answer> pair');
  });
  it('is scored by the rules of the era', async () => {
    const data = await starTable();
    const text = 'The answer is **A**, because nothing else in this picture could be meant';
    const path = await tsv(
      ['index', 'prediction'],
      [text, 'B', 'C', 'D'].map((one, i) => [String(i), one]),
    );
    const argv = [...OWN, '--predictions', path, '--data', data, '--era'];
    expect(overall((await scoreJson([...argv, 'head'])).result)).toBe(100);
    const { result } = await scoreJson([...argv, 'paper']);
    expect(overall(result)).toBe(75);
    expect(result.versions['reference']).toBe('c44bc601');
  });
  it('of another benchmark, without predictions, or that is not there is an error', async () => {
    const path = await tsv([...STAR_COLUMNS, 'prediction'], [[...starRow(0), 'A']]);
    const wrong = await scoreJson(['--benchmark', 'POPE', '--predictions', path]);
    expect(wrong.code).toBe(3);
    expect(wrong.result.error.what).toContain('another benchmark');
    const table = await scoreJson(['--benchmark', 'MMStar', '--predictions', await starTable()]);
    expect(table).toMatchObject({ code: 3, result: { error: { name: 'DataError' } } });
    expect((await scoreJson(['--benchmark', 'MMStar', '--predictions', fresh('.tsv')])).code).toBe(
      3,
    );
  });
  it('leaves result.json and scores.jsonl in a folder that is asked for', async () => {
    const out = fresh();
    const path = await tsv([...STAR_COLUMNS, 'prediction'], [[...starRow(0), 'B']]);
    const argv = ['--benchmark', 'MMStar', '--predictions', path, '--out', out, '--label', 'mine'];
    const { result } = await scoreJson(argv);
    expect(await readResult(out)).toEqual(result);
    expect(result).toMatchObject({ label: 'mine', isLabelGiven: true });
    expect(await readScores(out)).toEqual([
      {
        ...{ index: '0', sample: 0, result: 'B', score: 0, settled: 'letter', missing: false },
        cluster: '0',
      },
    ]);
  });
  it('is refused together with a run, alone without a benchmark, with half a judge', async () => {
    const path = await starTable();
    for (const argv of [
      [],
      ['--predictions', path],
      ['--predictions', path, '--run', root, '--benchmark', 'POPE'],
      ['--run', root],
      ['--predictions', path, '--benchmark', 'MMStar', '--judge-model', 'x'],
      ['--predictions', path, '--benchmark', 'MMStar', '--judge', 'http://127.0.0.1:1/v1'],
    ]) {
      expect((await scoreJson(argv)).code).toBe(2);
    }
  });
});

describe('the folder of a run', () => {
  it('gives figures over what was answered, latency and how often latents were written', async () => {
    const data = await starTable();
    const run = await writeEvaluationRun(fresh(), 'MMStar', data, [
      itemRecord('1', 'B', { latencyS: 2, numSpans: 1 }),
      itemRecord('0', 'B', { latencyS: 4, numSpans: 0 }),
      itemRecord('2', 'C', { latencyS: 9, batch: 2, numSpans: 1, finished: false }),
      itemRecord('3', null),
    ]);
    const { code, result } = await scoreJson(['--run', run, '--data', data]);
    expect(code).toBe(3);
    expect(overall(result)).toBeCloseTo(200 / 3, 10);
    expect(result).toMatchObject({ status: 'incomplete', label: 'gap', isLabelGiven: false });
    expect(result.items).toMatchObject({
      ...{ expected: 4, scored: 3, errors: 1, errorKinds: { timeout: 1 }, absent: 0, cutOff: 1 },
    });
    expect(result.latency).toEqual({ n: 2, meanS: 3, p50S: 3, p90S: 3.8, leftOut: 2 });
    expect(result.triggerRate).toBeCloseTo(2 / 3, 12);
    expect(result.source.settings).toMatchObject({ 'source.variant': 'gap', seed: 5 });
    expect((await readScores(run)).map(({ index }) => index)).toEqual(['0', '1', '2']);
  });
  it('takes the last record of an item, and repeats as mean and deviation', async () => {
    const data = await starTable();
    const answers = [
      ['A', 'B', 'C', 'D'],
      ['A', 'B', 'A', 'A'],
    ];
    const records = answers.flatMap((list, sample) =>
      list.map((response, i) => itemRecord(String(i), response, { sample })),
    );
    const run = await writeEvaluationRun(
      fresh(),
      'MMStar',
      data,
      [itemRecord('0', null), ...records],
      {
        samples: 2,
      },
    );
    const { code, result } = await scoreJson(['--run', run, '--data', data]);
    expect(code).toBe(0);
    expect(result.items).toMatchObject({ expected: 8, scored: 8, errors: 0 });
    expect(result.headlines[0]).toMatchObject({ percent: 75, std: Math.sqrt(1250) });
    expect(result.repeats.map(({ headlines }) => headlines[0]?.percent)).toEqual([100, 50]);
  });
  it('of the first rows only is part of the benchmark, and lacks what was not reached', async () => {
    const data = await starTable();
    const records = [itemRecord('0', 'A'), itemRecord('1', 'B')];
    const limited = await writeEvaluationRun(fresh(), 'MMStar', data, records, { limit: 2 });
    const part = await scoreJson(['--run', limited, '--data', data]);
    expect(part).toMatchObject({ code: 0, result: { status: 'partial', items: { table: 4 } } });
    const broken = await writeEvaluationRun(fresh(), 'MMStar', data, records);
    const rest = await scoreJson(['--run', broken, '--data', data]);
    expect(rest).toMatchObject({ code: 3, result: { status: 'incomplete', items: { absent: 2 } } });
  });
  it('scores rows that share an index by the one answer they have', async () => {
    const row = (category: string, answer: string): string[] => [
      ...[
        '7',
        'Which?',
        "['(A) a', '(B) b', '(C) c', '(D) d', '(E) e']",
        answer,
        category,
        'color',
      ],
    ];
    const columns = [
      'index',
      'question',
      'multi-choice options',
      'answer',
      'category',
      'l2-category',
    ];
    const data = await tsv(columns, [
      row('Perception/Monitoring', 'A'),
      row('Reasoning/Monitoring', 'B'),
    ]);
    const run = await writeEvaluationRun(fresh(), 'MME-RealWorld-Lite', data, [
      itemRecord('7', 'A'),
    ]);
    const { code, result } = await scoreJson(['--run', run, '--data', data]);
    expect(code).toBe(0);
    expect(result.headlines.map(({ percent }) => percent)).toEqual([50, 0, 100]);
  });
  it('may hold the runs of a sweep, which are scored one by one and keep their labels', async () => {
    const data = await starTable();
    const sweep = fresh();
    for (const [name, response] of [
      ['K4', 'A'],
      ['K9', 'D'],
    ] as const) {
      await writeEvaluationRun(join(sweep, name), 'MMStar', data, [
        ...['0', '1', '2', '3'].map((index) => itemRecord(index, response)),
      ]);
    }
    const { code, result } = await scoreJson(['--run', sweep, '--data', data]);
    expect(code).toBe(0);
    expect(result).toMatchObject([{ source: { name: 'K4' } }, { source: { name: 'K9' } }]);
    expect((await readScores(join(sweep, 'K9'))).map(({ score }) => score)).toEqual([0, 0, 0, 1]);
    const labelled = ['--run', join(sweep, 'K4'), '--data', data];
    await scoreJson([...labelled, '--label', 'mine']);
    const again = await scoreJson([...labelled, '--unwrap', 'answer']);
    expect(again.result).toMatchObject({ label: 'mine', unwrap: 'answer' });
    const all = await scoreJson(['--run', sweep, '--data', data, '--out', fresh()]);
    expect(all.code).toBe(2);
  });
  it('is refused with another table, another benchmark, or strange items', async () => {
    const data = await starTable();
    const run = await writeEvaluationRun(fresh(), 'MMStar', data, [itemRecord('0', 'A')]);
    const other = await tsv(STAR_COLUMNS, [starRow(9)]);
    expect((await scoreJson(['--run', run, '--data', other])).result.error.what).toContain(
      'is not the table',
    );
    expect((await scoreJson(['--run', run, '--data', data, '--benchmark', 'POPE'])).code).toBe(2);
    const strange = await writeEvaluationRun(fresh(), 'MMStar', data, [itemRecord('99', 'A')]);
    expect((await scoreJson(['--run', strange, '--data', data])).code).toBe(3);
    expect((await scoreJson(['--run', root, '--data', data])).code).toBe(3);
  });
});

const VISTA_COLUMNS = [
  'index',
  'question',
  'answer',
  'answer_option',
  'question_type',
  'answer_type',
];
/** Two numbers that no rule finds in a sentence. */
function vistaPredictions(): Promise<string> {
  const rows = [19, 20].map((value, i) => [
    ...[String(i), `How many birds? ${i}`, String(value), '', 'free_form', 'integer'],
    ...['', 'counting', "['arithmetic']", `It shows ${value} birds`],
  ]);
  return tsv([...VISTA_COLUMNS, 'choices', 'task', 'skills', 'prediction'], rows);
}

describe('a judge', () => {
  it('is needed by MathVista: without it the result is called a lower bound', async () => {
    const path = await vistaPredictions();
    const argv = ['evaluate', 'score', '--benchmark', 'MathVista_MINI', '--predictions', path];
    const { out } = await gapvl(argv);
    expect(out).toContain('A LOWER BOUND');
    expect(JSON.parse((await gapvl([...argv, '--json'])).out)).toMatchObject({
      ...{ isLowerBound: true, judge: { mode: 'exact' } },
    });
  });
  it('is asked what no rule settles, named in the result, and not asked twice', async () => {
    await using server = await startOpenAiServer({
      behave: ({ text }) => answer(text.includes('birds? 0') ? '19' : '21'),
    });
    const out = fresh();
    const argv = ['--benchmark', 'MathVista_MINI', '--predictions', await vistaPredictions()];
    const judged = [...argv, '--judge', server.url, '--out', out];
    const { code, result } = await scoreJson(judged);
    expect(code).toBe(0);
    expect(overall(result)).toBe(50);
    expect(result).toMatchObject({
      isLowerBound: false,
      judge: {
        ...{ mode: 'judge', model: 'gpt-4o-mini-2024-07-18', versions: [SERVED_MODEL] },
        ...{ items: 2, replies: 2, failed: 0 },
      },
    });
    await server.close();
    const again = await scoreJson(judged);
    expect(again.result).toEqual(result);
  });
  it('that is not there ends with code 4 and keeps its replies', async () => {
    const out = fresh();
    const argv = ['--benchmark', 'MathVista_MINI', '--predictions', await vistaPredictions()];
    const options = ['--out', out, '--judge-concurrency', '1', '--judge-retries', '0'];
    let url = '';
    {
      await using server = await startOpenAiServer({ behave: () => failure(503, 'overloaded') });
      server.next(answer('19'));
      url = server.url;
      const first = await scoreJson([...argv, ...options, '--judge', url]);
      expect(first.code).toBe(4);
      expect(await readResult(out)).toBeUndefined();
    }
    const kept = await readFile(join(out, 'judge.jsonl'), 'utf8');
    expect(kept).toContain('"19"');
    await using server = await startOpenAiServer({ behave: '20' });
    const second = await scoreJson([...argv, ...options, '--judge', server.url]);
    expect(second.code).toBe(0);
    expect(server.calls).toHaveLength(1);
    expect(overall(second.result)).toBe(100);
  });
  it('is refused where the protocol has none', async () => {
    const data = await tsv(
      ['index', 'answer', 'category', 'l2-category', 'prediction'],
      [['0', 'A', 'Perception/Monitoring', 'x', 'A']],
    );
    const argv = ['--benchmark', 'MME-RealWorld-Lite', '--predictions', data, '--out', fresh()];
    const found = await scoreJson([
      ...argv,
      '--judge',
      'http://127.0.0.1:1/v1',
      '--judge-model',
      'm',
    ]);
    expect(found).toMatchObject({ code: 2, result: { error: { name: 'ConfigError' } } });
  });
});
