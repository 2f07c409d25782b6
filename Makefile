# Each target sets up what it needs; a fresh machine needs make, cargo and python3.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
TOOLS := $(CURDIR)/target/tools
CARGO_DENY_VERSION := 0.20.2

# One interpreter for all builds, so that nothing is built twice.
export PYO3_PYTHON := $(BIN)/python
# The extension finds Python in the process that loads it; it links no libpython.
CARGO_ENGINE := PYO3_BUILD_EXTENSION_MODULE=1 cargo

# Builds and installs a Rust module; what that prints matters only if it fails.
install = mkdir -p target && $(BIN)/maturin develop --release --locked --manifest-path $(1) \
	> target/install.log 2>&1 || { cat target/install.log; exit 1; }

.PHONY: run test check bench bench-guard guard-baseline limit valgrind docs nightly fibonacci embedded build module help clean strace iproute

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

run: build ## count the words of the Python reference, or of FILE=…
	@$(BIN)/python examples/wordcount.py $(FILE)

test: $(VENV)/.ready-dev build module valgrind strace iproute ## all tests, of the engine, of the Python package, and of its cost
	scripts/check-arrow
	$(CARGO_ENGINE) test --locked --workspace
	$(CARGO_ENGINE) test --locked --package millstream-engine --features failpoints --test it panics
	$(BIN)/pytest
	$(BIN)/python -m benchmarks.guard $(if $(CI),,--may-skip)

check: $(VENV)/.ready-dev $(TOOLS)/bin/cargo-deny build module ## formatting, lints, types, stubs, dependencies
	cargo fmt --all --check
	$(CARGO_ENGINE) clippy --locked --workspace --all-targets -- --deny warnings
	$(CARGO_ENGINE) clippy --locked --package millstream-engine --features failpoints --all-targets \
		-- --deny warnings
	cargo fmt --manifest-path benchmarks/limit/Cargo.toml --check
	cargo clippy --locked --manifest-path benchmarks/limit/Cargo.toml -- --deny warnings
	scripts/check-arrow
	$(TOOLS)/bin/cargo-deny --log-level error check bans licenses sources
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m mypy.stubtest millstream._engine --mypy-config-file pyproject.toml

bench: $(VENV)/.ready-bench build limit ## measure against others; writes benchmarks/reports; OPTIONS="--only words"
	$(BIN)/python -m benchmarks $(OPTIONS)

bench-guard: build valgrind ## compare instructions an item with the baseline; OPTIONS="--tolerance 5"
	$(BIN)/python -m benchmarks.guard $(OPTIONS)

guard-baseline: build valgrind ## count instructions an item anew
	$(BIN)/python -m benchmarks.guard --write

# The workloads in Rust, without Python.
limit:
	cargo build --quiet --release --locked --manifest-path benchmarks/limit/Cargo.toml

# Debian's package has the header, too, that the guard talks with it by.
valgrind:
	@test -f /usr/include/valgrind/callgrind.h || \
		{ apt-get update -qq && apt-get install -y -qq valgrind > /dev/null; }

# Ends a process at a chosen system call.
strace:
	@command -v strace > /dev/null || \
		{ apt-get update -qq && apt-get install -y -qq strace > /dev/null; }

# Makes hosts of namespaces, and cuts the network between them.
iproute:
	@command -v ip > /dev/null || \
		{ apt-get update -qq && apt-get install -y -qq iproute2 > /dev/null; }

docs: $(VENV)/.ready-docs build ## build the documentation into site/
	$(BIN)/mkdocs build --strict

nightly: build module strace iproute ## the long profile of the property, crash and fuzz tests
	PROPTEST_CASES=20000 $(CARGO_ENGINE) test --locked --workspace --release
	$(CARGO_ENGINE) test --locked --release --package millstream-recovery -- --ignored
	$(CARGO_ENGINE) test --locked --release --package millstream-recovery --features failpoints
	for rule in no-execution-scope no-fencing sinks-do-not-gate; do \
		$(CARGO_ENGINE) test --locked --release --package millstream-recovery \
			--test protocol --features unsound-$$rule || exit 1; done
	CRASH_POINTS=10000 $(CARGO_ENGINE) test --locked --package millstream-engine --test it \
		killed_at_very_many -- --ignored --nocapture
	CRASH_POINT_SEEDS=100 KILL_SEEDS=66 CLUSTER_KILL_SEEDS=60 \
		$(BIN)/pytest --hypothesis-profile=nightly --timeout=1800

fibonacci: build module ## the same recursion in Python, in Rust, and in Rust called from Python
	cargo build --quiet --release --locked --manifest-path examples/fibonacci/Cargo.toml --package fibonacci
	$(BIN)/python -m examples.fibonacci.compare

embedded: build ## a Rust program that runs a Python dataflow
	VIRTUAL_ENV=$(CURDIR)/$(VENV) cargo run --quiet --locked --manifest-path examples/embedded/Cargo.toml

# The engine, installed in the virtual environment; Python files stay where they are.
build: $(VENV)/.ready-build
	@$(call install,crates/py/Cargo.toml --group build)

# The example module that is written in Rust.
module: $(VENV)/.ready-build
	@$(call install,examples/fibonacci/crates/fibonacci_pyo3/Cargo.toml)

$(VENV)/.ready:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "millstream needs Python 3.10 or later; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.ready-%: pyproject.toml | $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@

$(TOOLS)/bin/cargo-deny:
	cargo install --quiet --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)

clean: ## remove everything that was built
	rm -rf target $(VENV) site examples/*/target benchmarks/limit/target
