#!/usr/bin/env bash
# Prints docs/SPEED.md from the kept results of the benchmarks; with --check it compares instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page() {
  printf '# Speed\n\nMade by `tools/speed-tables.sh` from `bench/results`; runs on an idle machine, every side in\n'
  printf 'processes of its own, order reversed every round, medians.\n\n'
  printf '## Decoding (`npm run bench -- decode`)\n\n'
  npm run -s bench -- decode --table
  cat <<'TEXT'

Goals were prompts 1.3 times and steps twice as fast as PyTorch, and steps as fast as llama.cpp. What the
profile says of those that are missed: prompts are four fifths products of weights, which already run at the
machine's ceiling for products, so 1.3 times a PyTorch at two thirds of it does not exist here. Steps in f32 are
three quarters products of one row with a weight, that is reading weights from memory; a tenth goes between kernels
(about 40 small ones a layer, profiling included), of which fusing would win back a part: all of it
would make 1.4 and 2.0 times PyTorch (computed). Steps in int4 read 20 bytes for 32 weights where Q4_0 reads 18,
because scales are f32 in ONNX Runtime's kernel on the CPU; on two threads a tenth goes between kernels.
TEXT
  printf '\n## Pictures, file bytes to pixel_values (`npm run bench -- preprocess`)\n\n'
  printf 'Beside the slow processor of transformers on Pillow; 512 and 2048 pixels a side.\n\n'
  npm run -s bench -- preprocess table
}
text=$(page | npx prettier --parser markdown --print-width 100)
if [ "${1:-}" = --check ]; then
  diff <(printf '%s\n' "$text") docs/SPEED.md
else
  printf '%s\n' "$text" >docs/SPEED.md
fi
