# Two commands do everything on a fresh machine: `make up` (the main job) and `make test`.
SHELL := /bin/bash
BIN := .venv/bin
SPEC ?= $(wildcard cluster.yaml)
FILE := $(if $(SPEC),--file $(SPEC))

.PHONY: help up test acceptance check docs bench down clean setup setup-test lock

help:  ## Say what each target does.
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: setup  ## From nothing to a PySpark notebook (SPEC=cluster.yaml chooses another spec).
	@./setup.sh with-docker $(BIN)/provision up --yes $(FILE)

down:  ## Remove the cluster; keep the local cloud and its images for the next time.
	@test ! -x $(BIN)/provision || ./setup.sh with-docker $(BIN)/provision down --yes $(FILE)

clean:  ## Remove all that `make up` made: cluster, cloud, images, caches and the Python environment.
	@test ! -x $(BIN)/provision || { ./setup.sh with-docker $(BIN)/provision down --yes $(FILE) || true; }
	@test ! -x $(BIN)/provision || ./setup.sh with-docker $(BIN)/provision cloud down --purge --yes
	rm -rf .venv dist build

test: setup-test  ## Everything: lint, types, unit, integration and the whole product for real.
	@$(MAKE) --no-print-directory check
	@./setup.sh with-docker tests/run

acceptance: setup-test  ## As test, with what is too long for every change.
	@$(MAKE) --no-print-directory check
	@./setup.sh with-docker tests/run acceptance

check: setup-test  ## Lint, types, import layers, unit tests and docs: about a minute.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache | tail -n 5; exit $${PIPESTATUS[0]}
	$(BIN)/ansible-lint --offline -q playbooks
	$(BIN)/pytest -q -n 2 tests/unit
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs: setup-test  ## Renew the generated pages, and build the docs into build/docs.
	$(BIN)/python -m provision.cli.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/docs/index.html (for the search: python3 -m http.server -d build/docs)."

bench: setup-test  ## Measure anew what harms nothing, and renew the page of figures (BENCH="many" chooses some).
	@./setup.sh with-docker $(BIN)/python tests/benchmarks/bench.py $(BENCH)

setup:  ## Install what `make up` needs: missing packages, Docker, Compose and the Python environment.
	@./setup.sh install run

setup-test:  ## The same for `make test`.
	@./setup.sh install test

lock:  ## Resolve the dependencies anew: versions and hashes, no addresses.
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 pyproject.toml --group dev -o requirements-dev.lock
