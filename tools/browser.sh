#!/usr/bin/env bash
# Tests pages in real Chromium: takes the one that is there (or CHROMIUM_PATH), else installs Debian's.
# Arguments go to vitest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${CHROMIUM_PATH:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
  [ "$(id -u)" = 0 ] || {
    echo 'Chromium is missing: apt-get install chromium, or name one in CHROMIUM_PATH' >&2
    exit 1
  }
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
exec npm run test:browser -- "$@"
