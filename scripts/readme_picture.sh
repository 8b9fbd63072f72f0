#!/usr/bin/env bash
# Makes docs/images/demo.png from the demo's report: `make demo && bash scripts/readme_picture.sh`.
# Needs chromium (apt-get install chromium). Only Pose2Sim's people may be in that picture.
set -euo pipefail
cd "$(dirname "$0")/.."
page=${1:-demo/report.html}
shot=$(mktemp --suffix=.png)
trap 'rm -f "$shot"' EXIT
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1120 \
  --screenshot="$shot" "file://$(realpath "$page")" >/dev/null 2>&1
.venv/bin/python - "$shot" docs/images/demo.png <<'PY'
import sys

from PIL import Image

picture = Image.open(sys.argv[1]).convert("RGB")
picture.quantize(220, dither=Image.Dither.NONE).save(sys.argv[2], optimize=True)
PY
ls -l docs/images/demo.png
