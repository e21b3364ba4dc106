#!/usr/bin/env bash
# Creates tools/reference/.venv with the Hugging Face original, for CPU only. Does nothing when it
# is up to date. PYTHON names the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${PYTHON:-python3}
want=$(cat requirements.txt cuda_stubs.py setup.sh | sha256sum | cut -c1-16)
if [ "$(cat .venv/ready 2>/dev/null)" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi
fail() { echo "setup.sh: $*" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$python is older than Python 3.11, set PYTHON to a newer one"
for tool in cc readelf; do
  command -v "$tool" >/dev/null || [ "$(uname)" != Linux ] ||
    fail "$tool is missing, install a C compiler and binutils (Debian: gcc binutils)"
done

echo "setup.sh: installing the reference into tools/reference/.venv (about 600 MB)" >&2
rm -rf .venv
"$python" -m venv .venv
# --no-deps: torch names 2 GB of CUDA packages as dependencies, which no CPU kernel uses.
.venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
  --only-binary :all: -r requirements.txt
if [ "$(uname)" = Linux ]; then
  .venv/bin/python cuda_stubs.py .venv/lib/python3.*/site-packages/torch/lib
fi
HF_HUB_OFFLINE=1 .venv/bin/python -c 'import torch, transformers
from transformers import Qwen2_5_VLForConditionalGeneration
print("setup.sh: torch", torch.__version__, "transformers", transformers.__version__)' >&2
echo "$want" >.venv/ready
