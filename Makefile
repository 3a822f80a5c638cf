# The few commands of a checkout. Everything else is `syncmux --help`.

# What `make build` leaves. Building the whole workspace each time compiles every crate once: a package built alone would
# get its dependencies with other features, and compile them a second time.
SYNCMUX = "$${CARGO_TARGET_DIR:-target}/debug/syncmux"
OPTIMISED = "$${CARGO_TARGET_DIR:-target}/release/syncmux"

.PHONY: help prepare peers build demo test bench bench-ledger bench-feed screenshots lint down clean-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prepare: ## fetch PostgreSQL, Temporal and a small embedding model into .dev/
	@python3 deploy/dev/prepare.py

peers: ## the same, and the clients that the suite compares itself with
	@python3 deploy/dev/prepare.py --peers

build: ## compile the program
	cargo build --workspace --lib --bins

demo: prepare build ## fork and switch a generated store on real servers (KEEP=1 leaves them running)
	@$(SYNCMUX) demo $(if $(KEEP),--keep) $(if $(DESTINATION),--destination $(DESTINATION))

# Most of a test is waiting for Temporal, so more of them run at a time than there are cores.
test: peers ## the whole suite, on servers of its own
	@cargo build --workspace --all-targets
	@$(SYNCMUX) stack discard --test
	@trap '$(SYNCMUX) stack down --test' EXIT; trap 'exit 130' INT TERM; \
	exports=$$($(SYNCMUX) stack env --test) && eval "$$exports" && \
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(nproc)))} cargo test --workspace --no-fail-fast

bench: prepare ## replay 200,000 small entities (or ENTITIES=n): speed and memory, optimised build
	@cargo build --release --workspace --lib --bins
	@trap '$(OPTIMISED) stack down --test' EXIT; trap 'exit 130' INT TERM; \
	exports=$$($(OPTIMISED) stack env --test) && eval "$$exports" && cargo bench --workspace --bench replay

bench-ledger: prepare ## fill the ledger of a slot with 10,000,000 entities (or ENTITIES=n) and plan over it: room, time, memory
	@cargo build --release --workspace --lib --bins
	@trap '$(OPTIMISED) stack down --test' EXIT; trap 'exit 130' INT TERM; \
	exports=$$($(OPTIMISED) stack env --test) && eval "$$exports" && cargo bench --workspace --bench ledger

bench-feed: peers ## feed the same documents to Vespa's protocol server with `vespa feed` and with ours, in turns
	@SYNCMUX_VESPA_CLI=$(CURDIR)/.dev/vespa/vespa cargo bench --workspace --bench feed

screenshots: prepare build ## a running and a finished fork in Temporal's UI, by a headless Chromium
	@SYNCMUX=$(SYNCMUX) python3 deploy/screenshots.py

lint: ## formatting, clippy and the documentation's links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

down: build ## stop the demo's servers and worker; their data stays
	@$(SYNCMUX) stack down

clean-dev: build ## stop all servers and remove .dev/
	@if [ -d .dev/run ]; then $(SYNCMUX) stack discard; fi
	@if [ -d .dev/test-run ]; then $(SYNCMUX) stack discard --test; fi
	rm -rf .dev
