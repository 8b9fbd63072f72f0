#!/usr/bin/env bash
# Prints a Python that crosscam runs on, or says what is missing. `PYTHON=... make demo` decides.
set -u
seen=""
for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
  version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  case "$version" in
    3.11 | 3.12 | 3.13)
      # A Python whose venv module is split off (Debian) is of no use to us.
      "$name" -c 'import venv, ensurepip' 2>/dev/null && { command -v "$name"; exit 0; }
      seen="$seen $name ($version, without the venv module)" ;;
    *) seen="$seen $name ($version)" ;;
  esac
done
echo "error: crosscam needs Python 3.11, 3.12 or 3.13 with its venv module; found:${seen:- no Python}" >&2
echo "       set PYTHON=/path/to/python3.12, or on Debian and Ubuntu: apt-get install python3-venv" >&2
exit 1
