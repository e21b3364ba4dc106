// Measures reading a table of several gigabytes and its pictures; run `npx tsx bench/large-table.ts --gib 4`, last line
// JSON.
//
// The table is written to a temporary folder and removed afterwards. It is read in a process of its own, whose
// largest resident memory is what counts; the machine's ceiling beside it is MD5 over the same file.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { resolveImages } from '../src/benchmark/table/resolve-images.ts';
import { loadTsv } from '../src/benchmark/table/tsv.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BLOCK_BYTES = 1 << 22;
const NUM_PICTURES = 100;

/** Rows of 1 to 3 MB of base64, as HRBench4K has them, every other one in quotes. */
async function write(path: string, sizeBytes: number): Promise<void> {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let i = 0, state = 1; i < block.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[i] = ALPHABET.charCodeAt(state >>> 26);
  }
  const handle = await open(path, 'w');
  await handle.write('index\timage\tquestion\tA\tB\tC\tD\tanswer\tcategory\n');
  for (let row = 0, done = 0; done < sizeBytes; row++) {
    const quote = row % 2 === 0 ? '' : '"';
    const size = (1 << 20) + (row % 7) * 300_000;
    const tail = `${quote}\tWhat is in row ${row}?\tone\ttwo\tthree\tfour\tA\tsingle\n`;
    await handle.write(`${row}\t${quote}`);
    await handle.write(block.subarray(row % 64, (row % 64) + size));
    await handle.write(tail);
    done += size + tail.length;
  }
  await handle.close();
}

function peakMib(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}

async function read(path: string): Promise<void> {
  const start = performance.now();
  const table = await loadTsv(path);
  const loadS = (performance.now() - start) / 1000;
  const loadPeakMib = peakMib();
  const rows = table.rows.slice(0, NUM_PICTURES);
  const begin = performance.now();
  for (const row of rows) await resolveImages(table, row);
  const pictureMs = (performance.now() - begin) / rows.length;
  const figures = { rows: table.rows.length, md5: table.md5, loadS, loadPeakMib, pictureMs };
  console.log(JSON.stringify({ ...figures, peakMib: peakMib() }));
}

async function hash(path: string): Promise<{ md5: string; md5S: number }> {
  const start = performance.now();
  const md5 = createHash('md5');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    md5.update(chunk as Buffer);
  }
  return { md5: md5.digest('hex'), md5S: (performance.now() - start) / 1000 };
}

const { values: flags } = parseArgs({
  options: { gib: { type: 'string', default: '1' }, read: { type: 'string' } },
});
if (flags.read !== undefined) await read(flags.read);
else {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-bench-table-'));
  try {
    const path = join(folder, 'table.tsv');
    const gib = Number(flags.gib);
    await write(path, gib * 2 ** 30);
    const argv = [...process.execArgv, fileURLToPath(import.meta.url), '--read', path];
    const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    if (stderr !== '') console.error(stderr);
    const result = JSON.parse(stdout) as { readonly md5: string };
    const plain = await hash(path);
    if (plain.md5 !== result.md5) throw new Error('the MD5 is another one');
    console.log(JSON.stringify({ gib, ...result, md5S: plain.md5S }));
  } finally {
    await rm(folder, { recursive: true });
  }
}
