# Fusionscope: `make app` opens it, `make test` tests it; each sets up .venv first when it is missing or stale.
SHELL := /bin/bash
PORT ?= 8501
PYTHON ?=
FUSION_TORCH ?= auto
export PYTHON FUSION_TORCH
# Waiting threads of a numeric library sleep instead of spinning: on a busy machine that is 0.5 ms against 250 ms a pass.
export OMP_WAIT_POLICY ?= PASSIVE
RUN := .venv/bin/python

.PHONY: app test test-all check format bench screenshots setup setup-dev clean

app: setup  ## open the app in a browser (PORT=8501)
	@$(RUN) -m streamlit run app.py --server.port $(PORT)

test: setup-dev  ## the tests, pages x languages covered pairwise
	@$(RUN) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

test-all: setup-dev  ## every test, the full product
	@FUSION_TEST_ALL=1 $(RUN) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m ""

check: setup-dev  ## lint, format, types, import contracts
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m pyright
	@.venv/bin/lint-imports

format: setup-dev  ## write the format
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

bench: setup-dev  ## measure again and write docs/measured.md
	@$(RUN) benchmarks/run.py

screenshots: setup-dev  ## every page, both languages, light and dark, wide and narrow, into screenshots/ (PAGES="inspect map")
	@$(RUN) -m tools.screenshots $(PAGES)

setup:
	@tools/setup.sh app

setup-dev:
	@tools/setup.sh dev

clean:  ## remove the environment and the caches of the tools
	@rm -rf .venv .venv.lock .pytest_cache .ruff_cache .import_linter_cache screenshots
