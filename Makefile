# Everything runs in .venv, made on first use; no target needs root, a GPU, or any network but pip's.
VENV := .venv
PYTHON := $(VENV)/bin/python
# A stamp per set of dependencies, so that a second run installs nothing.
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Zeus brings amdsmi, which prints to stdout wherever CodeCarbon finds it: kept apart, on top of .venv.
BENCH := $(VENV)/bench

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint unit plugins format docs bench bench-energy bench-blockdrop bench-zoo bench-biglittle clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(INSTALLED)  ## audit a trained network and its two retrofits, and compare them (one minute)
	"$(PYTHON)" -m greenadapt quickstart

test: lint unit plugins  ## lint and the whole test suite

lint: $(DEV)  ## ruff, mypy strict, import-linter
	"$(PYTHON)" -m ruff check .
	"$(PYTHON)" -m ruff format --check .
	"$(PYTHON)" -m mypy
	"$(VENV)/bin/lint-imports"

unit: $(DEV)
	"$(PYTHON)" -m pytest -n 2 tests

plugins: $(DEV)
	"$(PYTHON)" -m pytest plugins

format: $(DEV)  ## rewrite the sources in the house format
	"$(PYTHON)" -m ruff check --fix .
	"$(PYTHON)" -m ruff format .

docs: $(DEV)  ## regenerate every generated page
	"$(PYTHON)" docs/generate.py

bench: $(DEV)  ## full audit of the embedded networks, published to profiles/ (about ten minutes)
	"$(PYTHON)" -m greenadapt quickstart --full --publish profiles

bench-energy: $(BENCH)/.installed  ## how far our joules are from a simulator's truth, into docs/results/ (about 15 minutes)
	"$(BENCH)/bin/python" -m tests.bench.energy

bench-zoo: $(DEV)  ## which of timm's architectures BlockDrop wraps, into docs/results/ (hours, one core; goes on where it stopped)
	nice -n 19 "$(PYTHON)" -m tests.bench.zoo

# Accuracy takes hours of training: tests.bench.blockdrop.cifar and .photos, whose files the page takes up.
bench-blockdrop: $(DEV)  ## whether dropped blocks save time, and the whole page, into docs/results/ (25 minutes on two idle cores)
	"$(PYTHON)" -m tests.bench.blockdrop

bench-biglittle: $(DEV)  ## the Big-Little networks: counts, realised savings, memory, into docs/results/ (about ten minutes, two idle cores)
	"$(PYTHON)" -m tests.bench.biglittle

clean:
	rm -rf "$(VENV)" out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(PYTHON):
	python3 -m venv "$(VENV)"
	"$(PYTHON)" -m pip install --quiet --upgrade pip

$(INSTALLED): $(PYTHON) pyproject.toml
	"$(PYTHON)" -m pip install --quiet --editable ".[all]"
	touch "$@"

$(DEV): $(PYTHON) pyproject.toml plugins/greenadapt-torchvision/pyproject.toml
	"$(PYTHON)" -m pip install --quiet --editable ".[dev]" --editable plugins/greenadapt-torchvision
	touch "$@" "$(INSTALLED)"

$(BENCH)/.installed: $(DEV)
	"$(PYTHON)" -m venv "$(BENCH)"
	"$(BENCH)/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$(BENCH)/own"
	"$(PYTHON)" -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$(cat "$(BENCH)/own")/base.pth"
	"$(BENCH)/bin/python" -m pip install --quiet --editable ".[bench]"
	touch "$@"
