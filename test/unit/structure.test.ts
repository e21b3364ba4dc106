// Owns the check that the source tree keeps its shape: import order, cycles, sizes, opening lines.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** The stops on the data's way; a file imports from its own stop or an earlier one. */
const ORDER = [
  ...['errors', 'rng', 'config', 'engine', 'data', 'processor', 'model', 'latent', 'store'],
  ...['capacity', 'context', 'train', 'generate', 'evaluate', 'audit', 'benchmark'],
  ...['report', 'serve'],
  ...['index', 'cli'],
];
/** What a latent is gets decided in `latent`, so these two never meet. */
const APART = [['train', 'generate']] as const;
const PURE = ['processor', 'model', 'latent', 'generate'];
const OUTSIDE_WORLD =
  /^(?:node:)?(?:fs|fs\/promises|net|http|https|http2|dgram|tls|child_process)$/;
const MAX_LINES = 500;
const DRAWERS = ['utils', 'util', 'helpers', 'helper', 'common', 'shared', 'misc'];

type Sources = ReadonlyMap<string, string>;

/** The stop a file of src belongs to: its folder, or its name when it stands at the top. */
function stopOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '');
}

function importsOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName);
}

function localImports(path: string, text: string): string[] {
  return importsOf(text)
    .filter((name) => name.startsWith('.'))
    .map((name) => posix.join(posix.dirname(path), name));
}

function orderFaults(sources: Sources): string[] {
  const faults: string[] = [];
  for (const [path, text] of sources) {
    const from = stopOf(path);
    if (!ORDER.includes(from)) faults.push(`${path}: ${from} is not a stop of the tree`);
    for (const target of localImports(path, text)) {
      const to = stopOf(target);
      if (ORDER.indexOf(to) > ORDER.indexOf(from)) {
        faults.push(`${path} imports ${target}: ${to} comes after ${from}`);
      }
      for (const pair of APART) {
        if (from !== to && pair.some((stop) => stop === from) && pair.some((stop) => stop === to)) {
          faults.push(`${path} imports ${target}: ${pair.join(' and ')} never import each other`);
        }
      }
    }
  }
  return faults;
}

function impureImports(sources: Sources): string[] {
  return [...sources]
    .filter(([path]) => PURE.includes(stopOf(path)))
    .flatMap(([path, text]) =>
      importsOf(text)
        .filter((name) => OUTSIDE_WORLD.test(name))
        .map((name) => `${path} imports ${name}: ${stopOf(path)} touches no file and no network`),
    );
}

/** Import cycles as `a -> b -> a`, each found once, by depth-first search. */
function cycles(sources: Sources): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      found.push([...path.slice(start), file].join(' -> '));
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const next of localImports(file, sources.get(file) ?? '')) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of sources.keys()) visit(file);
  return found;
}

function tooLong(sources: Sources): string[] {
  return [...sources]
    .map(([path, text]) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines} lines, ${MAX_LINES} are allowed`);
}

/** Files whose first line (after a shebang) does not begin a `//` comment that ends as a sentence. */
function withoutOpening(sources: Sources): string[] {
  const opening = /^(?:#![^\n]*\n)?(?:\/\/ [^\n]*\n)+/;
  return [...sources]
    .filter(([, text]) => !/[.;:)]\n$/.test(opening.exec(text)?.[0] ?? ''))
    .map(([path]) => path);
}

function drawers(sources: Sources): string[] {
  return [...sources.keys()].filter((path) =>
    path.split('/').some((part) => DRAWERS.includes(part.replace(/\.ts$/, ''))),
  );
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

function readTree(folder: string): Map<string, string> {
  const sources = new Map<string, string>();
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  for (const entry of entries) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory() && !['onnx-pb', '.venv', 'node_modules'].includes(entry.name)) {
      for (const [key, text] of readTree(path)) sources.set(key, text);
    } else if (entry.isFile() && entry.name.endsWith('.ts')) {
      sources.set(path, readFileSync(join(root, path), 'utf8'));
    }
  }
  return sources;
}

function readAllTypeScript(): Map<string, string> {
  const present = new Set(readdirSync(root));
  const folders = ['src', 'test', 'recipes', 'bench', 'tools'].filter((name) => present.has(name));
  return new Map(folders.flatMap((folder) => [...readTree(folder)]));
}

describe('the source tree', () => {
  const sources = readTree('src');

  it('imports only point up the list of folders', () => {
    expect(orderFaults(sources)).toEqual([]);
  });
  it('has no import cycle', () => {
    expect(cycles(sources)).toEqual([]);
  });
  it('keeps files and network out of the pure folders, their file formats aside', () => {
    expect(impureImports(sources)).toEqual([]);
  });
  it(`has no file over ${MAX_LINES} lines`, () => {
    expect(tooLong(sources)).toEqual([]);
  });
  it('has no folder or file for whatever fits nowhere', () => {
    expect(drawers(sources)).toEqual([]);
  });
  it('opens every TypeScript file with a sentence that says what it owns', () => {
    expect(withoutOpening(readAllTypeScript())).toEqual([]);
  });
});

describe('the checks of the source tree', () => {
  const tree = (files: Record<string, string>): Sources => new Map(Object.entries(files));

  it('see an import that points down the list, also a dynamic one and a re-export', () => {
    const faults = orderFaults(
      tree({
        'src/engine/a.ts': "import { b } from '../model/b.ts';",
        'src/data/b.ts': "const c = await import('../cli/c.ts');",
        'src/rng.ts': "export * from './config.ts';",
        'src/model/ok.ts': "import type { a } from '../engine/a.ts';",
      }),
    );
    expect(faults).toHaveLength(3);
  });
  it('see train and generate import each other, whatever their order', () => {
    const faults = orderFaults(
      tree({
        'src/generate/a.ts': "import { b } from '../train/b.ts';",
        'src/train/b.ts': "import { g } from '../generate/g.ts';",
      }),
    );
    expect(faults.filter((fault) => fault.includes('never'))).toHaveLength(2);
  });
  it('see a folder that is not in the list', () => {
    expect(orderFaults(tree({ 'src/extras/a.ts': '' }))).toHaveLength(1);
  });
  it('see a cycle through three files', () => {
    const found = cycles(
      tree({
        'src/engine/a.ts': "import { b } from './b.ts';",
        'src/engine/b.ts': "import { c } from './c.ts';",
        'src/engine/c.ts': "import { a } from './a.ts';",
      }),
    );
    expect(found).toEqual([
      'src/engine/a.ts -> src/engine/b.ts -> src/engine/c.ts -> src/engine/a.ts',
    ]);
  });
  it('see a file read in a pure folder', () => {
    const found = impureImports(
      tree({
        'src/latent/a.ts': "import { readFile } from 'node:fs/promises';",
        'src/data/b.ts': "import { readFile } from 'node:fs/promises';",
      }),
    );
    expect(found).toHaveLength(1);
  });
  it('see a long file, a drawer and a missing opening', () => {
    expect(tooLong(tree({ 'src/a.ts': 'x;\n'.repeat(501) }))).toHaveLength(1);
    expect(tooLong(tree({ 'src/a.ts': 'x;\n'.repeat(500) }))).toEqual([]);
    expect(drawers(tree({ 'src/data/helpers/a.ts': '', 'src/utils.ts': '' }))).toHaveLength(2);
    expect(withoutOpening(tree({ 'src/a.ts': 'const a = 1;\n' }))).toEqual(['src/a.ts']);
    expect(withoutOpening(tree({ 'src/a.ts': '#!/usr/bin/env node\n// Owns a.\n' }))).toEqual([]);
  });
});
