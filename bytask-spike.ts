import { sampleExamples } from './src/data/splits.ts';
import { readFileSync, readdirSync } from 'node:fs';
const items = [...sampleExamples({ split: 'test', count: 1000, seed: 3000 })].map((x) => `${x.task} ${x.difficulty}`);
for (const f of readdirSync('recipes/study/results').sort()) {
  const r = JSON.parse(readFileSync(`recipes/study/results/${f}`, 'utf8'));
  for (const arm of ['clean','zero-latent','oracle']) { const c = r.arms.test?.[arm]?.correct; if (!c) continue;
  const t: any = {}; items.forEach((k, i) => { t[k] ??= [0, 0]; t[k][1]++; t[k][0] += +c[i]!; });
  console.log(f, arm, Object.keys(t).sort().map((k) => `${k} ${(100 * t[k][0] / t[k][1]).toFixed(0)}`).join(', ')); }
}
