# The commands of this project. Each one installs what it lacks and asks nothing; 'make help' lists them.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# cargo and npm use all cores themselves, and the steps below follow each other.
.NOTPARALLEL:

# Where `make run` keeps its data; more arguments for `optidev serve` go into ARGS.
DATA_DIR ?= data
ARGS ?=
# Cargo profile of `make run`: dev builds fastest and shares its work with `make test`.
PROFILE ?= dev

# How long `make fuzz` looks for faults in each decoder.
FUZZ_SECONDS ?= 30
FUZZ_TARGETS := vault_request vault_reply dotenv

# What has no database, or is not about it: once is enough.
EITHER_DATABASE := $(addprefix --skip ,arch:: chart:: compile_fail:: e2e:: fuzz:: readme:: vault::anchors vault::attack vault::kills \
	vault::operations vault::person vault::reseal vault::restart vault::submission vault::system)

TARGET := $(or $(CARGO_TARGET_DIR),target)
# Tools that scripts/need puts here come first; the folders need not exist.
export PATH := $(abspath $(TARGET))/tools/bin:$(abspath $(TARGET))/tools/node/bin:$(PATH)

STEP := scripts/step
ASSETS := assets/dist/manifest.json
MODULES := assets/node_modules/.package-lock.json
BROWSER_MODULES := tests/e2e/node_modules/.package-lock.json
ASSET_INPUTS := $(shell find assets -path assets/node_modules -prune -o -path assets/dist -prune -o -type f -print 2>/dev/null)

.PHONY: help run build assets test check fuzz bench chart-check test-cluster bench-cluster

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  DATA_DIR=dir (default data), ARGS='--config optidev.toml', PROFILE=release change 'make run'."

run: ## Install what is missing, build, start on http://127.0.0.1:8080 and print a sign-in link
	@scripts/need build node runtime
	@$(MAKE) assets
	@$(STEP) "compile ($(PROFILE) profile)" cargo build --locked --profile $(PROFILE)
	@exec scripts/serve $(TARGET)/$(patsubst dev,debug,$(PROFILE))/optidev --data-dir $(DATA_DIR) $(ARGS)

build: ## Build the optimised executable, target/release/optidev
	@scripts/need build node
	@$(MAKE) assets
	@$(STEP) "compile (release profile)" cargo build --locked --release

assets: $(ASSETS) ## Build the pages' scripts and styles, if their sources changed

$(MODULES): assets/package.json assets/package-lock.json
	@scripts/need node
	@$(STEP) "npm ci in assets/ (by lockfile, no install scripts)" npm --prefix assets ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(BROWSER_MODULES): tests/e2e/package.json tests/e2e/package-lock.json
	@scripts/need node
	@$(STEP) "npm ci in tests/e2e/ (by lockfile, no install scripts)" npm --prefix tests/e2e ci --ignore-scripts --no-audit --no-fund
	@touch $@

$(ASSETS): $(MODULES) $(ASSET_INPUTS)
	@scripts/need node
	@$(STEP) "build assets/dist" npm --prefix assets run build
	@touch $@

test: ## Run all tests, in a real browser too, on SQLite and on PostgreSQL
	@scripts/need build node runtime browser database objects fuzz memory
	@$(MAKE) assets
	@$(MAKE) $(BROWSER_MODULES)
	@$(STEP) "tests of the pages' scripts" npm --prefix assets test
	@$(STEP) "compile the tests" cargo test --locked --workspace --no-run
	@$(STEP) "compile the server without its filter" cargo build --locked --features no-scope-filter --bin optidev-unscoped
	@$(STEP) "tests" cargo test --locked --workspace
	@$(STEP) "the integration tests on PostgreSQL" env OPTIDEV_TEST_DATABASE=postgres cargo test --locked --test it -- $(EITHER_DATABASE)
	@$(STEP) "make run, to its sign-in link and its end" scripts/try-run

check: ## Formatting, lints, licences, unused dependencies, spelling
	@scripts/need build node check
	@$(STEP) "formatting" cargo fmt --all --check
	@$(STEP) "spelling" typos
	@$(STEP) "shell scripts" shellcheck -x -P scripts scripts/lib.sh scripts/need scripts/serve scripts/step scripts/try-run \
		scripts/bench-cluster scripts/chart-check scripts/cluster-images scripts/cluster-install scripts/cluster-lab scripts/cluster-load scripts/dev-image \
		scripts/image scripts/test-cluster \
		helm/image/dev/finish .ci/run
	@$(STEP) "unused dependencies" cargo machete --skip-target-dir
	@$(STEP) "licences, bans, sources of dependencies" cargo deny --log-level error check licenses bans sources
	@$(MAKE) assets
	@$(STEP) "types and lints of the pages' scripts" npm --prefix assets run check
	@$(STEP) "lints" cargo clippy --locked --workspace --all-targets -- -D warnings

fuzz: ## Fuzz the decoders, FUZZ_SECONDS (default 30) each
	@scripts/need build fuzzing
	@for target in $(FUZZ_TARGETS); do \
		$(STEP) "fuzz $$target" cargo +nightly fuzz run --target-dir $(abspath $(TARGET))/fuzz $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=0 || exit 1; \
	done

bench: ## Run the benches; writes target/bench/main.json and prints it as a table
	@scripts/need build node runtime database
	@$(MAKE) assets
	@$(STEP) "compile the benches (release profile)" cargo bench --locked --bench main --no-run
	@cargo bench --locked --bench main

chart-check: ## Render the Helm chart and compare it with tests/helm; needs helm
	@scripts/chart-check

test-cluster: ## Try the chart on a real cluster, started by the kit in OPTIDEV_CLUSTER (default ../shared/cluster)
	@scripts/need build node browser objects
	@$(MAKE) assets
	@$(MAKE) $(BROWSER_MODULES)
	@$(STEP) "compile" cargo test --locked --test it --no-run
	@scripts/test-cluster

bench-cluster: ## Run the benches in a cluster of the same kit; writes target/bench/cluster.json and prints it as a table
	@scripts/need build node
	@$(MAKE) assets
	@$(STEP) "compile (release profile)" cargo build --locked --release --bin optidev
	@$(STEP) "compile the benches (release profile)" cargo bench --locked --bench cluster --no-run
	@scripts/bench-cluster
