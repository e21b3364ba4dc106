// Owns the tests of one run of the command line, in this process; vitest runs it.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { defineCommand } from '../../../src/cli/command.ts';
import type { CommandContext } from '../../../src/cli/command.ts';
import type { CommandEntry } from '../../../src/cli/commands.ts';
import { positiveInteger, text, withDefault } from '../../../src/cli/options.ts';
import { runCli } from '../../../src/cli/run.ts';
import { DataError } from '../../../src/errors.ts';

type Body = (
  values: { readonly count: number },
  context: CommandContext,
  args: readonly string[],
) => Promise<void>;

function entriesFor(body: Body): CommandEntry[] {
  const command = defineCommand({
    description: 'Tries things.',
    options: { count: withDefault(positiveInteger('--count <n>', 'how many'), 3) },
    arguments: [{ syntax: '[words...]', description: 'anything' }],
    examples: ['gapvl data try --count 4'],
    run: body,
  });
  return [
    { words: ['data', 'try'], summary: 'try things', load: () => Promise.resolve(command) },
    {
      words: ['other'],
      summary: 'never loaded',
      load: () => Promise.reject(new Error('loaded a command that was not called')),
    },
  ];
}

/** What the clock of a run shows. */
let clockMs = 0;

async function run(argv: readonly string[], body: Body = () => Promise.resolve()) {
  let [out, err, killed, listening] = ['', '', 0, 0];
  let interrupt = (): void => undefined;
  const terminal = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    interactive: false,
    columns: 80,
    clock: { now: () => clockMs, date: () => '2026-01-01T00:00:00Z' },
    onInterrupt: (listener: () => void) => {
      listening += 1;
      interrupt = listener;
      return () => void (listening -= 1);
    },
    kill: () => void (killed += 1),
    showStack: false,
  };
  const entries = entriesFor((values, context, args) =>
    body(values, Object.assign(context, { interrupt: () => interrupt() }), args),
  );
  const code = await runCli(argv, terminal, entries);
  return { code, out, err, killed, listening };
}

function pressCtrlC(context: CommandContext): void {
  (context as CommandContext & { interrupt: () => void }).interrupt();
}

describe('a group with a default command', () => {
  const named = (name: string): CommandEntry['load'] => {
    const command = defineCommand({
      description: `Does ${name}.`,
      options: { out: text('--out <dir>', 'where to') },
      run: (values, context) => {
        context.result(`${name} to ${values.out ?? 'nowhere'}`, {});
        return Promise.resolve();
      },
    });
    return () => Promise.resolve(command);
  };
  const entries: CommandEntry[] = [
    { words: ['judge', 'ask'], summary: 'ask', isDefault: true, load: named('ask') },
    { words: ['judge', 'score'], summary: 'score', load: named('score') },
  ];
  const call = async (line: string) => {
    let [out, err] = ['', ''];
    const code = await runCli(
      line.split(' '),
      {
        out: (written) => void (out += written),
        err: (written) => void (err += written),
        interactive: false,
        columns: 80,
        clock: { now: () => 0, date: () => '2026-01-01T00:00:00Z' },
        onInterrupt: () => () => undefined,
        kill: () => undefined,
        showStack: false,
      },
      entries,
    );
    return { code, out, err };
  };

  it.each([
    ['judge', 'ask to nowhere'],
    ['judge --out x', 'ask to x'],
    // A value that is also the name of a command stays a value.
    ['judge --out score', 'ask to score'],
    ['judge ask --out x', 'ask to x'],
    ['judge score --out x', 'score to x'],
  ])('runs %s', async (line, written) => {
    expect(await call(line)).toEqual({ code: 0, out: `${written}\n`, err: '' });
  });

  it.each(['judge --help', 'help judge'])('explains all of it on %s', async (line) => {
    const { code, out } = await call(line);
    expect(code).toBe(0);
    expect(out).toMatch(/ask \[options\] +ask \(default\)/);
    expect(out).toMatch(/score +score/);
    expect(out).toContain('Does ask.');
    expect(out).toContain('--out <dir>');
  });

  it('takes a wrong word for a wrong command', async () => {
    const { code, err } = await call('judge scroe');
    expect(code).toBe(2);
    expect(err).toContain('unknown command scroe');
    expect(err).toContain('did you mean score?');
  });
});

describe('runCli', () => {
  it('hands options and arguments to the command and prints its result', async () => {
    const result = await run(['data', 'try', '--count', '5', 'a', 'b'], async (values, c, args) => {
      c.result(`${values.count} ${args.join('+')}\n\n`, {});
      await Promise.resolve();
    });
    expect(result).toMatchObject({ code: 0, out: '5 a+b\n', err: '', listening: 0 });
  });

  it('prints one line of JSON and no progress with --json', async () => {
    const result = await run(['data', 'try', '--json'], async (values, context) => {
      const progress = context.progress('work');
      progress.update(1, 2);
      progress.finish();
      context.note('not seen');
      context.write('not seen');
      context.result('not seen', { count: values.count });
      await Promise.resolve();
    });
    expect(result).toMatchObject({ code: 0, out: '{"count":3}\n', err: '' });
  });

  it('explains the program without loading any command', async () => {
    const result = await run(['--help']);
    expect(result.code).toBe(0);
    expect(result.out).toContain('data');
    expect(result.out).toContain('never loaded');
  });

  it('explains a command with its options, defaults and examples', async () => {
    for (const argv of [
      ['data', 'try', '--help'],
      ['data', 'try', '--json', '-h'],
    ]) {
      const result = await run(argv);
      expect(result.code).toBe(0);
      expect(result.out).toContain('--count <n>  how many (default: 3)');
      expect(result.out).toContain('gapvl data try --count 4');
    }
  });

  it('ends with 2 and a suggestion on what it does not know', async () => {
    const option = await run(['data', 'try', '--cuont', '4']);
    expect(option).toMatchObject({ code: 2, out: '' });
    expect(option.err).toBe(
      'ConfigError: unknown option --cuont\n  fix:      did you mean --count?\n',
    );
    const command = await run(['dta']);
    expect(command).toMatchObject({ code: 2, out: '' });
    expect(command.err).toContain('did you mean data?');
    const second = await run(['data', 'tri']);
    expect(second).toMatchObject({ code: 2, out: '' });
    expect(second.err).toContain('unknown command tri');
  });

  it('ends with 2 and the help when no command is given', async () => {
    for (const argv of [[], ['data']]) {
      const result = await run(argv);
      expect(result).toMatchObject({ code: 2, out: '' });
      expect(result.err).toContain('Usage: gapvl');
    }
    const json = await run(['--json']);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.out)).toMatchObject({ error: { name: 'ConfigError' } });
  });

  it('shows our errors with their parts and their exit code', async () => {
    const fail: Body = () =>
      Promise.reject(
        new DataError({ what: 'line 7 is broken', got: 'x', expected: 'y', fix: 'z' }),
      );
    const plain = await run(['data', 'try'], fail);
    expect(plain).toMatchObject({ code: 3, out: '' });
    expect(plain.err).toBe(
      'DataError: line 7 is broken\n  got:      x\n  expected: y\n  fix:      z\n',
    );
    const json = await run(['data', 'try', '--json'], fail);
    expect(json).toMatchObject({ code: 3, err: '' });
    expect(JSON.parse(json.out)).toEqual({
      error: { name: 'DataError', what: 'line 7 is broken', got: 'x', expected: 'y', fix: 'z' },
    });
  });

  it('shows an unexpected error with what and where', async () => {
    const result = await run(['data', 'try'], () => Promise.reject(new TypeError('no such thing')));
    expect(result.code).toBe(1);
    expect(result.err).toMatch(
      /^unexpected TypeError: no such thing\n {2}where: .*run\.test\.ts:\d+/,
    );
  });

  it('aborts the signal at the first Ctrl-C and names the command that goes on', async () => {
    const result = await run(['data', 'try', "it's", '--count', '4'], async (_values, context) => {
      pressCtrlC(context);
      context.signal.throwIfAborted();
      await Promise.resolve();
    });
    expect(result).toMatchObject({ code: 1, killed: 0 });
    expect(result.err).toContain("to go on, run: gapvl data try 'it'\\''s' --count 4");
  });

  it("says the same when Node's own call was aborted", async () => {
    const result = await run(['data', 'try'], async (_values, context) => {
      pressCtrlC(context);
      await new Promise((_resolve, reject) => {
        const error = new Error('The operation was aborted', { cause: context.signal.reason });
        error.name = 'AbortError';
        reject(error);
      });
    });
    expect(result.code).toBe(1);
    expect(result.err).toContain('to go on, run: gapvl data try');
  });

  it('kills at the second Ctrl-C, but not at the same one handed on by npm', async () => {
    const killedAfter = async (ms: number): Promise<number> => {
      const result = await run(['data', 'try'], async (_values, context) => {
        pressCtrlC(context);
        clockMs += ms;
        pressCtrlC(context);
        await Promise.resolve();
      });
      return result.killed;
    };
    expect(await killedAfter(1000)).toBe(1);
    expect(await killedAfter(1)).toBe(0);
  });

  it('lets a command end in order with bad news', async () => {
    const result = await run(['data', 'try'], async (_values, context) => {
      context.setExitCode(1);
      await Promise.resolve();
    });
    expect(result).toMatchObject({ code: 1, err: '' });
  });
});

describe('the start of gapvl', () => {
  it('loads nothing but commander and small files of its own before a command is known', () => {
    const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
    const seen = new Set<string>();
    const packages = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022);
      for (const statement of source.statements) {
        if (!ts.isImportDeclaration(statement)) continue;
        if (statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword) continue;
        if (!ts.isStringLiteral(statement.moduleSpecifier)) continue;
        const name = statement.moduleSpecifier.text;
        if (name.startsWith('.')) visit(join(dirname(file), name));
        else packages.add(name);
      }
    };
    visit(join(root, 'src/cli/main.ts'));
    expect([...packages].filter((name) => !name.startsWith('node:'))).toEqual(['commander']);
    const folders = [...seen].map((file) => dirname(file).slice(root.length + 1));
    expect(new Set(folders)).toEqual(new Set(['src', 'src/cli']));
  });
});
