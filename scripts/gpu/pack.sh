#!/usr/bin/env bash
# Packs what the list in docs/gpu_todo.md needs into .gpu/{a,b,c}, each small enough to travel with
# the tree in one call (64 MiB together): bash scripts/gpu/pack.sh [../shared]
# The lent machine has PyTorch, OpenCV, timm, safetensors and rich, but no pydantic.
set -euo pipefail
cd "$(dirname "$0")/../.."
shared=$(realpath "${1:-../shared}")
rm -rf .gpu && mkdir -p .gpu/{a,b,c,market}
tar xzf "$shared/reid/market1501.tar.gz" -C .gpu/market
root=$(dirname "$(find .gpu/market -type d -name bounding_box_train)")
tar czf .gpu/a/train.tar.gz -C "$root" bounding_box_train
tar czf .gpu/b/test.tar.gz -C "$root" bounding_box_test query
cp "$shared/models/resnet50v2_imagenet_partial.pt" "$shared/models/mobilenetv2_imagenet.pt" .gpu/a/
cp "$shared"/reid/{cuhk01,cuhk03_part_160x60,partial_reid}.tar.gz .gpu/c/
mkdir -p .gpu/d && cp "$shared"/footage/pets_full.avi "$shared"/models/yolo26n.pt .gpu/d/
rm -rf .gpu/market
python3 -m pip download -q --only-binary=:all: --python-version 3.12 --implementation cp \
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .gpu/a pydantic
for part in .gpu/*; do
  bytes=$(($(du -sb "$part" | cut -f1) + $(git ls-files -z | du -cb --files0-from=- | tail -1 | cut -f1)))
  echo "$part with the tree: $((bytes >> 20)) MiB"
  ((bytes < 64 << 20)) || { echo "error: $part is too large to travel" >&2; exit 1; }
done
