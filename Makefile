# `make help` lists what there is. Everything that is needed is installed or named by the targets themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help demo check test format lint tidy fast-tests tests parts

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## The main job on the embedded broker: eight customers, their left carts, the reminders they get
	$(CARGO) run -p vuelve --bin vuelve -- replay --file examples/left-carts.jsonl --format segment-jsonl \
	  --definitions presets/basic --out target/demo
	@echo; echo "Who would have got what, and when (target/demo/messages.csv):"
	@column -s, -t target/demo/messages.csv 2>/dev/null || cat target/demo/messages.csv

check: format lint tidy fast-tests ## Format, lints, tidy and the fast tests: for use while writing

test: format lint tidy tests ## Everything, on real parts

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

tidy: ## The architecture's invariants
	$(CARGO) run -q -p xtask -- tidy

fast-tests: ## The tests that need no real part
	$(CARGO) test --workspace --exclude vuelve-tests --exclude vuelve-testkit

parts: ## Installs and fetches the real parts that the tests run: Kafka, the registry, Redis, SDKs
	$(CARGO) run -q -p vuelve-testkit --bin test-parts -- fetch

tests: parts
	$(CARGO) test --workspace
