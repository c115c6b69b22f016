# What people and CI run. `make help` lists it; docs/guides/building.md explains it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

# What is built once a machine and is no clone's own: RocksDB.
export HYPERMESH_CACHE := $(or $(HYPERMESH_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hypermesh)
# Every call of cargo below links the RocksDB that `make rocksdb` has compiled.
export ROCKSDB_LIB_DIR := $(shell HYPERMESH_CACHE='$(HYPERMESH_CACHE)' .make/rocksdb path)
export ROCKSDB_STATIC := 1
# Where cargo installs its tools may not be on the path of a person who never needed it.
export PATH := $(PATH):$(or $(CARGO_INSTALL_ROOT),$(CARGO_HOME),$(HOME)/.cargo)/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARIES := -p nexusctl -p hypermesh-apiserver -p hypermesh-controllers -p hypermesh-agent -p hypermesh-runtime

# `make up`
export API ?= 127.0.0.1:6443
export NEXUSCTL := $(abspath $(TARGET))/release/nexusctl
export HELLO := $(abspath $(TARGET))/release/hello

# How long the long forms take.
N ?= 200
FUZZ_TIME ?= 1m
SEEDS ?= 0..1000
PROPERTIES_TIME ?= 10m

# A test that cannot run here writes a line to this file: its name and why. `make test` shows them.
export HYPERMESH_SKIPS := $(abspath $(TARGET))/skipped-tests

.PHONY: help tools tools-% rocksdb env build up hello down test lint audit bench fuzz properties sim crash clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

tools: tools-build tools-test tools-lint ## install what build, test and lint need and the machine lacks
tools-%:
	@.make/tools $*

rocksdb: tools-build ## compile RocksDB, once a machine
	@.make/rocksdb build

env: rocksdb ## print what plain cargo needs to share that RocksDB: eval "$(make -s env)"
	@echo "export ROCKSDB_LIB_DIR='$(ROCKSDB_LIB_DIR)' ROCKSDB_STATIC=1"

# AWS-LC would gather entropy from the jitter of the CPU, beside the kernel's and the CPU's own: 10 to 50 ms in every process,
# which a command line that answers in 15 does not have. What that gives up, and what it does not: docs/adr/0010.
build bench crash: export AWS_LC_SYS_NO_JITTER_ENTROPY := 1

build: rocksdb ## build target/release/{nexusctl,nexus-apiserver,nexus-controllers,nexus-agent,hypermesh-shim}
	cargo build --release $(BINARIES) --bins

up: tools-up build hello ## start a cluster in the background, apply examples/quickstart, show it [DATA_DIR= API=]
	@.make/up

# An image of it needs nothing else: the C library is in it.
hello:
	cargo rustc --release -p hello --bin hello -- -C target-feature=+crt-static

down: ## stop it [DATA_DIR=]
	@.make/down

# All binaries come first: tests of one room start those of another. nextest's summary comes last.
test: export NEXUSCTL := $(abspath $(TARGET))/debug/nexusctl
test: rocksdb tools-test ## run everything that CI runs
	@mkdir -p $(TARGET); rm -f $(HYPERMESH_SKIPS)
	cargo build --workspace --bins
	cargo test --workspace --doc --quiet
	cargo nextest run --workspace --profile ci --no-fail-fast 2>&1 | tee $(TARGET)/nextest.log
	@.make/summary $(TARGET)/nextest.log

lint: rocksdb tools-lint ## check formatting, code, licences and sources of dependencies
	cargo metadata --locked --format-version 1 >/dev/null
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --log-level error check licenses bans sources

audit: tools-lint ## lint's checks of dependencies, and known vulnerabilities (fetches RustSec's database)
	cargo deny check licenses bans sources advisories

bench: rocksdb tools-build tools-bench ## take figures, the peer's beside ours in one run
	cargo bench --workspace --bench '*'
	cargo build --release --workspace --bins
	$(TARGET)/release/hypermesh-bench
	$(TARGET)/release/hypermesh-node-bench

crash: rocksdb ## kill the server under load and cut its power [N=200]
	cargo build --release --workspace --bins
	$(TARGET)/release/hypermesh-crash --runs $(N)
	$(TARGET)/release/hypermesh-crash --runs $(N) --power-loss

fuzz: rocksdb ## fuzz every decoder, each for a while [FUZZ_TIME=1m FUZZ="yaml cel"]
	@FUZZ_TIME='$(FUZZ_TIME)' TARGET='$(TARGET)' .make/fuzz $(FUZZ)

properties: rocksdb tools-test ## repeat the property tests with new seeds [PROPERTIES_TIME=10m PROPTEST_CASES=256]
	cargo nextest run --workspace --exclude hypermesh-e2e --exclude hypermesh-fuzz --profile fuzz \
		--stress-duration $(PROPERTIES_TIME)

# Overflows are checked, as in what libFuzzer drives.
sim: ## run replicas under a simulated clock, network and disk [SEEDS=0..1000, or one seed and TRACE=1; WITHOUT=loss,cuts]
	cargo run --quiet --profile fuzz -p hypermesh-sim -- '$(SEEDS)' $(if $(TRACE),--trace) $(if $(WITHOUT),--without '$(WITHOUT)')

clean: ## remove what was built here; RocksDB stays, in $(HYPERMESH_CACHE)
	cargo clean
