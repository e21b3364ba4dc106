// Owns the tests that tables are read as pandas reads them, on files with all the oddities it knows.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareFiles, compareSheets, compareTexts } from '../helpers/table-goldens.ts';

const FOLDER = join(import.meta.dirname, 'data', 'tables');

describe('tables that pandas read', () => {
  it('are the same as TSV: fields, names, types, missing cells, refusals', async () => {
    const { count, differences } = await compareTexts(FOLDER);
    expect(differences).toEqual([]);
    expect(count).toBe(400);
  });

  it('have the same types as columns of an Excel file', async () => {
    const { count, differences } = await compareSheets(FOLDER);
    expect(differences).toEqual([]);
    expect(count).toBeGreaterThan(100);
  });

  it('are the same as Excel files of both writers', async () => {
    const { count, differences } = await compareFiles(FOLDER);
    expect(differences).toEqual([]);
    expect(count).toBe(8);
  });
});
