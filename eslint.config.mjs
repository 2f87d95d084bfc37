import tseslint from 'typescript-eslint';

const ban = (selector, message) => ({ selector, message });

export default tseslint.config(
  // Examples are users' projects: their style is LangGraph's, and tsc checks them.
  { ignores: ['dist', 'coverage', 'examples', '.millrace', 'knip.js', '**/*.mjs', '**/*.cjs'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Our objects are closures: their methods have no `this`.
      '@typescript-eslint/unbound-method': 'off',
      // It asks for what no-non-null-assertion forbids.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      'no-restricted-syntax': [
        'error',
        ban('ExportDefaultDeclaration', 'Use a named export: one name per thing, everywhere.'),
        ban('ExportAllDeclaration', 'List the exports: index.ts is the public surface.'),
        ban('MemberExpression[object.name="process"][property.name="env"]', 'Read src/config.ts.'),
        ban(
          'CallExpression[callee.property.name="includes"] > MemberExpression > MemberExpression[property.name="message"]',
          'Branch on error.code, not on its text.',
        ),
      ],
    },
  },
  {
    files: ['test/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        ban(
          'CallExpression[callee.object.name="jest"][callee.property.name="mock"]',
          'Pass a fake dependency; do not mock modules.',
        ),
      ],
    },
  },
  {
    // Channels and actors are arrays by number; `!` says that the number is one of theirs.
    files: ['src/pregel/**', 'test/**/pregel/**'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  { files: ['src/config.ts'], rules: { 'no-restricted-syntax': 'off' } },
);
