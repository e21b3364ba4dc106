#!/usr/bin/env bash
# Creates tools/reference/.vlmeval/.venv with pandas, and beside it VLMEvalKit at both eras. Does
# nothing when it is up to date. PYTHON names the interpreter (3.11 or newer); VLMEVALKIT a clone of the
# repository, bare or not, that has both commits (without it, it is cloned from GitHub).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${PYTHON:-python3}
declare -A commits=([head]=e8e78f05 [paper]=c44bc601)
home=.vlmeval/.venv
fail() { echo "vlmeval-setup.sh: $*" >&2; exit 1; }
want=$(cat vlmeval-requirements.txt vlmeval-setup.sh | sha256sum | cut -c1-16)
if [ "$(cat "$home/ready" 2>/dev/null)" = "$want" ] && "$home/bin/python" -c '' 2>/dev/null; then
  exit 0
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$python is older than Python 3.11, set PYTHON to a newer one"

rm -rf .vlmeval
mkdir -p "$home"
source=${VLMEVALKIT:-}
if [ -z "$source" ]; then
  source=$home/clone.git
  git clone --quiet --bare --filter=blob:none https://github.com/open-compass/VLMEvalKit "$source" ||
    fail 'GitHub cannot be reached; set VLMEVALKIT to a clone of open-compass/VLMEvalKit'
fi
for era in "${!commits[@]}"; do
  git -C "$source" cat-file -e "${commits[$era]}^{commit}" 2>/dev/null ||
    fail "$source has no commit ${commits[$era]}"
  mkdir "$home/$era"
  git -C "$source" archive "${commits[$era]}" vlmeval | tar -x -C "$home/$era"
done
rm -rf "$home/clone.git"

echo 'vlmeval-setup.sh: installing pandas into tools/reference/.vlmeval (about 150 MB)' >&2
"$python" -m venv "$home"
"$home/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps \
  --only-binary :all: -r vlmeval-requirements.txt
echo "$want" >"$home/ready"
