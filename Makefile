# The commands of the project. `make` alone lists them.

.DEFAULT_GOAL := help
TARGET = $(abspath $(or $(CARGO_TARGET_DIR),target))/release
.PHONY: help run test clients check fmt-check lint hygiene doc check-deploy bench soak fuzz container-test packages check-packages check-docs clean-cache

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

run: ## Serve on 127.0.0.1:8080: Claude when signed in, else an offline demo (ARGS="--listen ...")
	@tools/run $(ARGS)

test: ## Run all tests, with the real CLI and other people's clients
	@tools/install-cli
	@tools/install-redis
	@tools/install-nginx
	timeout --verbose --kill-after=30 15m cargo test --workspace --lib
	timeout --verbose --kill-after=30 1h cargo test --workspace --bins --examples --test '*'
	timeout --verbose --kill-after=30 15m cargo test --workspace --doc
	@if [ -x compat-tests/run ]; then compat-tests/run; fi

# The table is of pinned versions, so the newest ones write nothing.
clients: ## Try all clients, write docs/CLIENTS.md (ONLY="codex aider" some, NEWEST=1 the newest)
	@tools/install-cli
	cargo build --release --bin claude-switchboard -p claude-switchboard -p messages-stand-in
	SERVER_BIN=$(TARGET)/claude-switchboard STAND_IN_BIN=$(TARGET)/messages-stand-in compat-tests/run clients \
		$(or $(ONLY),--all) $(if $(NEWEST),--newest,--write)

check-docs: ## Run the commands of the documentation, and quickstart.sh on made-up machines
	@tools/check-quickstart
	@tools/check-docs

check: fmt-check lint hygiene doc ## Check format, lints, words, dependencies and documentation

fmt-check: ## Check the format
	cargo fmt --all --check

lint: ## Run clippy, warnings refused
	cargo clippy --workspace --all-targets -- -D warnings

hygiene: ## Check names, comments, spelling, unused dependencies and licences
	@tools/hygiene

# The documentation is for those who work on the code, so links to private items lead somewhere.
doc: ## Build the documentation, warnings refused
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --workspace --no-deps --document-private-items

check-deploy: ## Check deploy/ with systemd, the schemas of Kubernetes, and a stream through nginx
	@tools/install-cli
	@tools/check-deploy

bench: ## Measure, with the real CLI
	@tools/install-cli
	@tools/install-redis
	cargo bench --bench serving $(ARGS)

# Some ten minutes more go to the release build where there is none, and to the sums at the end.
soak: ## The endpoints at two thirds of the capacity, with faults, with the real CLI (MINUTES=60); write docs/RELIABILITY.md
	@tools/install-cli
	cargo bench --bench soak -- --minutes $(or $(MINUTES),60) --report $(CURDIR)/docs/RELIABILITY.md $(ARGS)

fuzz: ## Fuzz every target (SECONDS=60)
	@tools/fuzz $(or $(SECONDS),60)

container-test: ## Build the container image and try it, with podman
	@tools/container-test

packages: ## Make the packages of a release build in target/packages (KINDS="deb wheel")
	@tools/package $(or $(KINDS),all checksums)

check-packages: ## Make packages of the debug build, install, upgrade and remove them
	@tools/check-packages

clean-cache: ## Remove what the other commands have installed
	@# Without root, images belong to users of one's own namespace.
	rm -rf .cache/containers 2>/dev/null || podman unshare rm -rf "$(CURDIR)/.cache/containers"
	rm -rf .cache compat-tests/client/node_modules compat-tests/node/node_modules compat-tests/openapi/node_modules
