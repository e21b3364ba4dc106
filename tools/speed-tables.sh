#!/usr/bin/env bash
# Prints docs/SPEED.md from the kept results of the benchmarks; with --check it compares instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
page() {
  printf '# Speed\n\nMade by `tools/speed-tables.sh` from `bench/results/decode.json`; a run of `npm run bench -- decode`\n'
  printf 'on an idle machine, every side in processes of its own, order reversed every round, medians.\n\n'
  npm run -s bench -- decode --table
}
text=$(page | npx prettier --parser markdown --print-width 100)
if [ "${1:-}" = --check ]; then
  diff <(printf '%s\n' "$text") docs/SPEED.md
else
  printf '%s\n' "$text" >docs/SPEED.md
fi
