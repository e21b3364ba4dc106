#!/usr/bin/env bash
# Makes src/engine/onnx-pb from the official onnx.proto, as PyPI's `onnx` package ships it.
set -euo pipefail
cd "$(dirname "$0")/.."
ONNX_VERSION=1.19.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download -q --no-deps "onnx==$ONNX_VERSION" -d "$work"
python3 -m zipfile -e "$work"/onnx-*.whl "$work/wheel"
mkdir "$work/proto"
cp "$work/wheel/onnx/onnx.proto" "$work/proto/"
printf 'version: v2\n' >"$work/proto/buf.yaml"
cat >"$work/buf.gen.yaml" <<EOF
version: v2
plugins:
  - local: protoc-gen-es
    out: $PWD/src/engine/onnx-pb
    opt: target=js+dts
EOF
(cd "$work/proto" && npx -y -p @bufbuild/buf@1.61.0 -p @bufbuild/protoc-gen-es@2.10.2 \
  buf generate --template "$work/buf.gen.yaml")
