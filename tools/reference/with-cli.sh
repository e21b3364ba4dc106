#!/usr/bin/env bash
# Runs a script of this folder that holds our command line against the reference: sets the reference
# up, builds dist/ if it is behind src/, then `with-cli.sh SCRIPT ARGUMENTS`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
"$here/setup.sh"
if [ -z "$(find "$root/dist/cli/main.js" 2>/dev/null)" ] ||
  [ -n "$(find "$root/src" -newer "$root/dist/cli/main.js" -name '*.ts' -print -quit)" ]; then
  npm --prefix "$root" run --silent build
fi
script=$1
shift
exec "$here/.venv/bin/python" "$here/$script" "$@"
