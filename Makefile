# `make demo` and `make test` set themselves up: they need Python 3.11 to 3.13, git, make and a
# way to the package registry. Everything is installed into .venv/, once.
#
#   make demo     four synchronised cameras, three people -> demo/report.html (ends by itself)
#   make test     the tests; ARGS="tests/reid -x" narrows them
#   make lint     ruff and mypy
#   make bench    every figure of the README, one table after the other
#   make format   let ruff rewrite the sources
#   make clean    remove what the above made
#
# On a machine without a GPU, `make demo TORCH=cpu` installs the smaller PyTorch.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench clean

BIN := .venv/bin
READY := .venv/ready
BENCH_READY := .venv/ready-bench
TORCH ?=
ARGS ?=

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,11p'

setup: $(READY)

# `ready` appears last, so an interrupted installation is taken up again. uv is fast, pip knows
# every way to a private registry: where the first does not get through, the second tries.
$(READY): pyproject.toml scripts/find_python.sh
	@test -x $(BIN)/python || { \
	  python="$$(bash scripts/find_python.sh)" || exit 1; \
	  echo "setting up .venv/ with $$python (once)"; \
	  "$$python" -m venv .venv || { \
	    rm -rf .venv; \
	    echo "error: $$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; }; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --python $(BIN)/python $(if $(TORCH),--torch-backend=$(TORCH)) \
	    -e '.[dev,postgresql]' \
	  || { echo "uv did not get through; trying pip"; \
	       $(BIN)/python -m pip install --disable-pip-version-check -e '.[dev,postgresql]'; }
	@touch $(READY)

$(BENCH_READY): $(READY)
	@$(BIN)/uv pip install --python $(BIN)/python -e '.[bench]' \
	  || $(BIN)/python -m pip install --disable-pip-version-check -e '.[bench]'
	@touch $(BENCH_READY)

demo: $(READY)
	@$(BIN)/crosscam demo --folder demo

test: $(READY)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_READY)
	@set -e; for figure in startup pets embedding speed memory; do $(BIN)/python -m benchmarks.$$figure; done

clean:
	rm -rf .venv demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
