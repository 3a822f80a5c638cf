# The few commands of a checkout. Everything else is `syncmux --help`.

SYNCMUX = cargo run --quiet --bin syncmux --
# What `cargo build` left; running it does not compile anything again.
BUILT = "$${CARGO_TARGET_DIR:-target}/debug/syncmux"

.PHONY: help prepare build demo test lint down clean-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prepare: ## fetch PostgreSQL, Temporal and a small embedding model into .dev/
	@python3 deploy/dev/prepare.py

build: ## compile the program
	cargo build --bin syncmux

demo: prepare ## fork and switch a generated store on real servers (KEEP=1 leaves them running)
	@$(SYNCMUX) demo $(if $(KEEP),--keep)

test: prepare ## the whole suite, on servers of its own
	@cargo build --workspace --all-targets
	@$(BUILT) stack discard --test
	@trap '$(BUILT) stack down --test' EXIT; trap 'exit 130' INT TERM; \
	exports=$$($(BUILT) stack env --test) && eval "$$exports" && cargo test --workspace

lint: ## formatting, clippy and the documentation's links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps

down: ## stop the demo's servers; their data stays
	@$(SYNCMUX) stack down

clean-dev: ## stop all servers and remove .dev/
	@if [ -d .dev/run ]; then $(SYNCMUX) stack discard; fi
	@if [ -d .dev/test-run ]; then $(SYNCMUX) stack discard --test; fi
	rm -rf .dev
