// Recomputes an audit's numbers from its journals with code of its own, nothing shared with src/, and compares
// them with audit.json; `npx tsx tools/recompute-audit.ts runs/audit`, last line `N passed, N failed`.
import { readAudit, readJournals } from './recompute-audit/folder.ts';
import { recompute } from './recompute-audit/recompute.ts';

const [folder = ''] = process.argv.slice(2);
const { passed, failures } = recompute(readAudit(folder), readJournals(folder));
for (const line of failures) console.log(line);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 || passed === 0 ? 1 : 0;
