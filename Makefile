# `make demo` and `make test` are all that a new machine needs, beyond Rust, apt, Python 3 and the registries.
SHELL := /bin/bash
CHART_TOOLS := target/chart-tools

.PHONY: demo test bench tools

# A company, its agents, an upstream and the proxy between them, until Ctrl-C.
demo: tools
	cargo run -- demo

# Every test: the library, the real binary over real sockets, the charts.
test: tools $(CHART_TOOLS)/ready
	cargo test
	PORTCULLIS=$${CARGO_TARGET_DIR:-target}/debug/portcullis \
	  $(CHART_TOOLS)/bin/python -B -m pytest -q -p no:cacheprovider tests/charts

# Measurements; they write bench/results.
bench: tools
	cargo build --release
	cargo run --release -p portcullis-bench -- all

# What Debian may lack: a C compiler for the cryptography, curl for the tests, Python's venv for the charts' tests.
tools:
	@missing=(); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v curl >/dev/null || missing+=(curl); \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $${missing[*]}"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	fi

$(CHART_TOOLS)/ready: tests/charts/requirements.txt
	python3 -m venv $(CHART_TOOLS)
	$(CHART_TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/charts/requirements.txt
	touch $@
