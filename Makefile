# `make help` lists what there is. Everything that is needed is installed or named by the targets themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help demo check test format lint tidy fast-tests tests parts bench soak soak-door soak-segments simulate fuzz new-service

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## A shop to look at, at http://127.0.0.1:8080; DEMO_FLAGS="--speed 600" and others go to it
	$(CARGO) run -p vuelve --bin vuelve -- demo $(DEMO_FLAGS)

check: format lint tidy fast-tests ## Format, lints, tidy and the fast tests: for use while writing

test: format lint tidy tests ## Everything, on real parts

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

tidy: ## The architecture's invariants
	$(CARGO) run -q -p xtask -- tidy

fast-tests: ## The tests that need no Kafka; a few start Redis and a mail server
	$(CARGO) test --workspace --exclude vuelve-tests --exclude vuelve-testkit

parts: ## Installs and fetches the real parts that the tests run: Kafka, the registry, Redis, SDKs
	$(CARGO) run -q -p vuelve-testkit --bin test-parts -- fetch

tests: parts
	$(CARGO) test --workspace
	$(MAKE) fuzz FUZZ_SECONDS=60

FUZZ_SECONDS ?= 600
fuzz: ## Any bytes to the door, as webhooks and as a spool, guided by coverage; FUZZ_SECONDS=60 a target, FUZZ_FLAGS=door that one alone
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/tests/fuzz/instrumented-rustc \
		$(CARGO) build --workspace --example fuzz-engine --features vuelve-fuzz/engine
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --workspace --test fuzzing -- --ignored --nocapture $(FUZZ_FLAGS)

SEEDS ?= 1000
simulate: ## Driver, engine and services on virtual time, with faults by seed; SEEDS=100000 for more, SIMULATE_FLAGS="--from 5000" and others go to it
	$(CARGO) run --release -p vuelve-simulation --bin simulate -- --seeds $(SEEDS) $(SIMULATE_FLAGS)

bench: ## How fast it is, beside plain Kafka clients; BENCH_FLAGS="--only s1 --runs 3" and others (--help) go to it
	$(CARGO) build --release -p vuelve
	$(CARGO) bench -p vuelve-tests --bench pipeline --bench engine -- $(BENCH_FLAGS)

soak: parts ## Faults until there were KILLS kills, the others in proportion, and 5,000 events a kill; goes on where it ended (target/soak.jsonl); SOAK_MINUTES ends it
	$(CARGO) build -p vuelve
	KILLS=$(or $(KILLS),1000) $(if $(SOAK_MINUTES),SOAK_MINUTES=$(SOAK_MINUTES)) \
		$(CARGO) test -p vuelve-tests --test exactly_once -- --ignored --exact soak --nocapture

soak-door: parts ## 100,000 events while ingestion is killed 30 times and the broker twice; and two minutes at half load on the spool alone
	$(CARGO) build -p vuelve
	$(CARGO) test -p vuelve-tests --test door --test spool_soak -- --ignored --nocapture

soak-segments: parts ## Time alone moves 100,000 customers from segment to segment while segmentation is killed
	$(CARGO) build -p vuelve
	$(CARGO) test -p vuelve-tests --test segment_soak -- --ignored --nocapture

new-service: ## What `cargo run -p xtask -- new-service` writes compiles, and passes its own tests
	$(CARGO) test -p xtask -- --ignored
