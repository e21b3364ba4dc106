// Owns our side of pandas_tables.py: reads a folder of its tables and counts the differences.
// Usage: npx tsx tools/reference/pandas_tables.ts FOLDER.
import { compareFiles, compareSheets, compareTexts } from '../../test/helpers/table-goldens.ts';

const [folder = ''] = process.argv.slice(2);
const compared = {
  texts: await compareTexts(folder),
  columns: await compareSheets(folder),
  files: await compareFiles(folder),
};
for (const [kind, { count, differences }] of Object.entries(compared)) {
  for (const { table, expected, got } of differences.slice(0, 10)) {
    process.stdout.write(`${table}\n  expected ${expected}\n  got      ${got}\n`);
  }
  process.stdout.write(`${kind}: ${count} compared, ${differences.length} differ\n`);
  if (differences.length > 0) process.exitCode = 1;
}
