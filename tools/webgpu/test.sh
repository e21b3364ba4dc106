#!/usr/bin/env bash
# Runs the tests of `--device webgpu` on a software driver, or on the one VK_DRIVER_FILES names.
# Arguments go to vitest: `npm run test:webgpu -- test/webgpu/training.test.ts`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ -z "${VK_DRIVER_FILES:-}" ]; then
  environment=$(bash tools/webgpu/setup.sh)
  eval "$environment"
fi
exec npx vitest run --project webgpu "$@"
