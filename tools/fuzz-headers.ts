// Reads damaged safetensors headers and shard indexes by the million and counts why they are refused.
// Usage: npx tsx tools/fuzz-headers.ts [count] [seed]; ends with an error on the first that is not.
import { fuzzFiles } from '../test/helpers/header-fuzz.ts';

const [count = 1_000_000, seed = 1] = process.argv.slice(2).map(Number);
for (const target of ['header', 'index'] as const) {
  const before = process.hrtime.bigint();
  const { intact, accepted, refused } = fuzzFiles(target, count, seed);
  const seconds = Number(process.hrtime.bigint() - before) / 1e9;
  console.log(`${target}: ${count} samples, seed ${seed}, ${seconds.toFixed(1)} s`);
  console.log(`  accepted ${accepted}, of them undamaged ${intact}`);
  const kinds = [...refused].sort(([, left], [, right]) => right - left);
  for (const [kind, number] of kinds) console.log(`  ${String(number).padStart(7)} ${kind}`);
}
const { maxRSS } = process.resourceUsage();
console.log(`largest memory ${Math.round(maxRSS / 1024)} MB`);
