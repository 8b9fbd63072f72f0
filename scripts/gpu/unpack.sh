#!/usr/bin/env bash
# On the GPU's machine: bash scripts/gpu/unpack.sh a (then b, then c), each with its folder carried.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${DATA:-/tmp/data}
mkdir -p "$data/market1501"
case "$1" in
  a) python3 -m pip install -q --no-index --no-deps .gpu/a/*.whl
     tar xzf .gpu/a/train.tar.gz -C "$data/market1501"
     cp .gpu/a/*.pt "$data/" ;;
  b) tar xzf .gpu/b/test.tar.gz -C "$data/market1501" ;;
  c) for set in .gpu/c/*.tar.gz; do tar xzf "$set" -C "$data"; done ;;  # each holds its folder
  d) cp .gpu/d/* "$data/" ;;  # item 10; Ultralytics has to be on the machine
  *) echo "error: unpack.sh a, b, c or d, not '$1'" >&2; exit 1 ;;
esac
