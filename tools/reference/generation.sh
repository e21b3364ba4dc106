#!/usr/bin/env bash
# Holds our greedy decoding against Hugging Face's `generate` on fresh random configurations: sets
# the reference up, builds dist/ if it is behind src/, runs generation.py with the arguments given.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
"$here/setup.sh"
if [ -z "$(find "$root/dist/cli/main.js" 2>/dev/null)" ] ||
  [ -n "$(find "$root/src" -newer "$root/dist/cli/main.js" -name '*.ts' -print -quit)" ]; then
  npm --prefix "$root" run --silent build
fi
exec "$here/.venv/bin/python" "$here/generation.py" "$@"
