#!/usr/bin/env bash
# Writes docs/SPEED.md and the speed table of README.md from the kept results of the benchmarks; with
# --check it compares instead. What was not measured yet says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
details() { npx tsx bench/table.ts --details "$1"; }
page() {
  cat <<'TEXT'
# Speed

Made by `tools/speed-tables.sh` from `bench/results`. `npm run bench` measures all of it in one go: every side
in processes of its own, order reversed every round, warm-up, medians, raw values kept; peers are pinned in
`tools/reference/requirements.txt`, `bench/peers/requirements.txt` and `bench/peers/package.json`.
`npm run bench -- check` holds a few ratios against kept ones (`--keep` keeps them).

## All goals

TEXT
  details table
  printf '\n## Training step (`npm run bench -- step`)\n\n'
  if [ -f bench/results/step.json ]; then npm run -s bench -- step --table; else echo 'Not measured.'; fi
  printf '\n## Vision tower (`npm run bench -- vision`)\n\n'
  echo 'Square pictures through a tower of the true widths; `case` is the side in pixels.'
  echo
  details vision
  printf '\n## Decoding (`npm run bench -- decode`)\n\n'
  npm run -s bench -- decode --table
  cat <<'TEXT'

Goals were prompts 1.3 times and steps twice as fast as PyTorch, and steps as fast as llama.cpp. What the
profile says of those that are missed: prompts are four fifths products of weights, which already run at the
machine's ceiling for products, so 1.3 times a PyTorch at two thirds of it does not exist here. Steps in f32 are
three quarters products of one row with a weight, that is reading weights from memory; a tenth goes between kernels
(about 40 small ones a layer, profiling included), of which fusing would win back a part: all of it
would make 1.4 and 2.0 times PyTorch (computed). Steps in int4 read 20 bytes for 32 weights where Q4_0 reads 18,
because scales are f32 in ONNX Runtime's kernel on the CPU; on two threads a tenth goes between kernels.

## Capacity sampling (`npm run bench -- capacity`)

Eight sampled answers of 24 tokens to a question on the shipped base; `case` is the number of questions in a batch,
so this is throughput against batch, too. Ours reads a prompt once and forks its cache for the eight; generate()
reads it, picture included, eight times.

TEXT
  details capacity
  printf '\n## PCA (`npm run bench -- pca`)\n\n'
  cat <<'TEXT'
Embeddings of width 3584 with known components; `block` is adding 8,192 of them to the sums, `fit` the
decomposition to 95 % of the variance. All rows are reckoned from both.

TEXT
  details pca
  cat <<'TEXT'

The sums are products in f64, because small eigenvalues lie below the f32 rounding of the large ones; PyTorch's are,
too. Ours leave out what lies above the diagonal (two thirds of the processor time of the whole product, measured; equal to
the last bit). The decomposition is plain TypeScript on one thread and limited by memory: one pass over half a
matrix of 103 MB a column, then K vectors through all rotations.
TEXT
  printf '\n## Pictures, file bytes to pixel_values (`npm run bench -- preprocess`)\n\n'
  printf 'Beside both processors of transformers; 512 and 2048 pixels a side.\n\n'
  details preprocess
  printf '\n## Tokenizing (`npm run bench -- tokenize`)\n\n'
  cat <<'TEXT'
A thousand rows of 60 words of these documents with the vocabulary of Qwen2.5; `new` is the first time that a
process sees them, `again` a later one. Ids are equal.

TEXT
  details tokenize
  cat <<'TEXT'

Most of the time went into spelling out the bytes of every word; ids of words that were seen are remembered now
(32,768 of up to 32 characters).
TEXT
  printf '\n## Start (`npm run bench -- start`)\n\n'
  details start
  cat <<'TEXT'

Charts, pictures and ONNX Runtime are loaded when first used: importing the library takes 380 ms of processor time
beside other work where it took 660. What is left is Node opening and compiling about 300 files of ours and of the
protobuf and tokenizer libraries, one by one; a bundle would be the next step.
TEXT
}
text=$(page | npx prettier --parser markdown --print-width 100)
if [ "${1:-}" = --check ]; then
  diff <(printf '%s\n' "$text") docs/SPEED.md
  npx tsx bench/table.ts --check
else
  printf '%s\n' "$text" >docs/SPEED.md
  npx tsx bench/table.ts
fi
