// Owns the lint rules of the whole repository; `npm run lint` calls it.
import { defineConfig, globalIgnores } from 'eslint/config';
import jsdoc from 'eslint-plugin-jsdoc';
import tseslint from 'typescript-eslint';

const TYPESCRIPT = [
  'src/**/*.ts',
  'test/**/*.ts',
  'recipes/**/*.ts',
  'bench/**/*.ts',
  'tools/**/*.ts',
  'vitest.config.ts',
];

export default defineConfig(
  // Generated code and everything that is not TypeScript of this project.
  globalIgnores(['dist', 'runs', 'assets', 'coverage', 'src/engine/onnx-pb', '**/.venv']),
  {
    files: ['**/*.js', '**/*.mjs'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
  },
  {
    files: TYPESCRIPT,
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' },
    rules: {
      // Numbers print the same everywhere, so a template may hold one.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // An arrow that returns void is the normal shape of a callback here.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
      ],
      '@typescript-eslint/ban-ts-comment': [
        'error',
        // Only tests of bad calls may say that the compiler would refuse them.
        { 'ts-expect-error': 'allow-with-description', 'ts-ignore': true, 'ts-nocheck': true },
      ],
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { jsdoc },
    rules: {
      'no-console': 'error',
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Randomness is an argument: take an Rng.' },
        { object: 'Date', property: 'now', message: 'The clock lives in src/cli/clock.ts.' },
        { object: 'performance', property: 'now', message: 'The clock lives in src/cli/clock.ts.' },
      ],
      'jsdoc/require-jsdoc': [
        'error',
        {
          publicOnly: true,
          enableFixer: false,
          require: {
            ArrowFunctionExpression: true,
            ClassDeclaration: true,
            FunctionDeclaration: true,
            FunctionExpression: true,
            MethodDefinition: false,
          },
          checkConstructors: false,
          contexts: [
            // [Symbol.asyncDispose] and its like mean the same everywhere.
            'MethodDefinition[computed=false][kind!="constructor"][accessibility!="private"] > FunctionExpression',
            'TSInterfaceDeclaration',
            'TSTypeAliasDeclaration',
            'ExportNamedDeclaration > VariableDeclaration',
          ],
        },
      ],
      'jsdoc/require-description': [
        'error',
        { contexts: ['TSInterfaceDeclaration', 'TSTypeAliasDeclaration', 'FunctionDeclaration'] },
      ],
    },
  },
  {
    // The one place that reads the clock; everything else takes a Clock.
    files: ['src/cli/clock.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Randomness is an argument: take an Rng.' },
      ],
    },
  },
);
