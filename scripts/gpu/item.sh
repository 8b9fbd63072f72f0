#!/usr/bin/env bash
# One item of docs/gpu_todo.md by its number: bash scripts/gpu/item.sh N
# Ends within nine minutes; the trainings resume when the same number is run again on the same
# machine: `last.safetensors` is too large to travel to the next one. What comes back lies in $OUT: at
# most 16 MiB a file, so models come in pieces (`cat model.* > model.safetensors`). The order is the list's.
set -uo pipefail
cd "$(dirname "$0")/../.."
data=${DATA:-/tmp/data} out=${OUT:-runs/gpu/out} runs=runs/gpu
market=$data/market1501 partial=$data/partial_reid
sets=(--data "$market" --data "$data/cuhk01" --data "$data/cuhk03_part_160x60")
trunk=(--imagenet "$data/resnet50v2_imagenet_partial.pt")
mkdir -p "$out" "$runs"

crosscam() { timeout -s INT "$1" python3 run_pipeline.py "${@:2}"; }
bench() { timeout -s INT 500 python3 -m "benchmarks.$1" "${@:2}" 2>&1 | tee "$out/$1.md"; }
bring() {
  split -b 15M -d "$runs/$1/model.safetensors" "$out/model."
  cp "$runs/$1/log.csv" "$out/"
  cp "$runs/$1/model.json" "$out/" 2>/dev/null || true
}
train() { # name, configuration, the rest
  crosscam 520 train --config "$2" --out "$runs/$1" --device cuda "${@:3}" && echo "$1: trained"
  bring "$1"
}

case "${1:-}" in
  1) train ship scripts/gpu/ship.yaml "${sets[@]}" --everybody "${trunk[@]}" ;;
  2) python3 -m reid.evaluation.calibrate --weights $runs/ship/model.safetensors \
       --data "$market" --scene "$data/cuhk01" --scene "$data/cuhk03_part_160x60" \
       --precision float32 && bring ship ;;
  3) crosscam 250 evaluate --weights $runs/ship/model.safetensors --data "$market" \
       --data "$partial" --precision float32 | tee "$out/evaluate.txt"
     bench held_out "${sets[@]}" --weights $runs/ship/model.safetensors ;;
  4) train market scripts/gpu/ship.yaml --data "$market" "${trunk[@]}" ;;
  5) # Shortened to 0.3 of every number of epochs: the whole does not fit a lease.
     sed 's/backbone: [a-z0-9]*/backbone: resnet50v2/; s/^epochs: 70/epochs: 21/
          s/^step_epochs: 20/step_epochs: 6/; s/^ide_epochs: 20/ide_epochs: 6/' \
       configs/qpm_paper.yaml > $runs/paper_short.yaml
     train paper_short $runs/paper_short.yaml --data "$market" "${trunk[@]}" ;;
  6) # Rows of an earlier lease: carry runs/gpu/ablation/results.jsonl.
     sed 's/backbone: [a-z0-9]*/backbone: resnet50v2/; s/height: 96/height: 384/; s/width: 32/width: 128/' \
       configs/qpm_ablation.yaml > $runs/ablation.yaml
     bench ablation --table V VI XI VII IX X --seeds 1 2 3 --config $runs/ablation.yaml \
       --data "$market" --partial "$partial" "${trunk[@]}" --device cuda --out $runs/ablation
     cp $runs/ablation/results.jsonl "$out/" ;;
  7) bench query --device cuda; bench million --device cuda ;;
  8) bench embedding --device cuda ;;
  10) mkdir -p ../shared/footage ../shared/models
      cp "$data/pets_full.avi" ../shared/footage/ && cp "$data/yolo26n.pt" ../shared/models/
      bench speed --rounds 1 --device cuda --cameras 1 4 16 ;;
  11) python3 -m pytest -q tests/test_cuda.py 2>&1 | tee "$out/cuda_tests.txt" ;;
  *) echo "error: item.sh 1 to 11, not '${1:-}'" >&2; exit 1 ;;
esac
