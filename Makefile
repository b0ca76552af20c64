# Everything a person does in this repository. `make` alone says what there is.
#
# The test bed (tests/bed) installs what it needs into the user's cache directory on its first run and keeps it there.

CARGO ?= cargo
# Built together, so that both use the same build of every dependency.
BUILD = $(CARGO) build --locked --example bed --bin mission-operator
BED = $(CARGO) run --quiet --locked --example bed --

.DEFAULT_GOAL := help
.PHONY: help demo up down test trials bench scale heartbeats fuzz install fmt lint crds

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: require-cargo ## Show the whole way of an Agent on a real gateway; installs what it needs, stops everything
	@$(BUILD)
	@$(BED) demo

up: require-cargo ## Start a control plane, a gateway and the operator with the samples, and leave them running
	@$(BUILD)
	@$(BED) up

down: require-cargo ## Stop what `make up` left running
	@$(BUILD)
	@$(BED) down

test: require-cargo ## Run all tests on real parts
	@$(BUILD)
	@$(BED) test

# How long the life of a team goes on, and what decides what happens in it; another one each time where none is named.
MINUTES ?= 10
SEED ?=
trials: require-cargo ## Run the trials that take minutes: fleets that come and go, others who write, a kill at every call, MINUTES=10 of a team's life
	@$(BUILD)
	@TRIAL_MINUTES=$(MINUTES) TRIAL_SEED=$(SEED) $(BED) test -- --test alone --test crash -- --ignored

# Sizes of the fleet.
N ?= 25,100
bench: require-cargo ## Measure what fleets of N=25,100 Agents cost a real gateway; about 15 minutes
	$(CARGO) bench --locked --bench fleet -- --agents $(N) --also converged,writes

# How long, and which; all of them where none is named.
SECONDS ?= 60
TARGET ?=
fuzz: require-cargo ## Fuzz every target for SECONDS=60, or TARGET=session alone; needs a nightly compiler
	@.ci/fuzz --release $(SECONDS) $(TARGET)

# Agents of each of a hundred gateways.
EACH ?= 25,50,100
scale: require-cargo ## Measure what 100 gateways with EACH=25,50,100 Agents cost the operator; about 15 minutes
	$(CARGO) bench --locked --bench scale -- --agents $(EACH)

# Agents that call.
CALLERS ?= 10000
heartbeats: require-cargo ## Measure how many heartbeats of CALLERS=10000 agents one core takes a second; half a minute
	$(CARGO) bench --locked --bench agent_api -- --agents $(CALLERS)

install: require-cargo ## Install what the test bed needs, and nothing else
	@$(BUILD)
	@$(BED) install

fmt: require-cargo ## Format the code
	$(CARGO) fmt

lint: require-cargo ## Check format and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

crds: require-cargo ## Write crds/ and the chart's copy anew from the Rust types
	@$(BUILD)
	$${CARGO_TARGET_DIR:-target}/debug/mission-operator crd --output crds
	cp crds/*.yaml charts/mission-operator/files/crds/

.PHONY: require-cargo
require-cargo:
	@command -v $(CARGO) >/dev/null || { echo 'cargo is missing: install Rust from https://rustup.rs' >&2; exit 1; }
