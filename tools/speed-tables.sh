#!/usr/bin/env bash
# Prints docs/SPEED.md from the kept results of the benchmarks; with --check it compares instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page() {
  printf '# Speed\n\nMade by `tools/speed-tables.sh` from `bench/results`; runs on an idle machine, every side in\n'
  printf 'processes of its own, order reversed every round, medians.\n\n'
  printf '## Decoding (`npm run bench -- decode`)\n\n'
  npm run -s bench -- decode --table
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
