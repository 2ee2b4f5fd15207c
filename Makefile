# What developers type. Needs a POSIX shell and Rust; PostgreSQL is found, or installed by the system's package manager.
.POSIX:
.PHONY: help requirements demo test soak versions memcheck lint audit dist fmt bench fixtures pictures

CARGO = cargo

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

# Before anything is built: what is missing, and what to type.
requirements:
	@scripts/requirements database

demo: requirements ## Watch a sync: a bundled API, a throw-away PostgreSQL, the real program
	$(CARGO) build --locked --bin datasync --example demo_api
	PG_SETTINGS=fsync=off scripts/with-postgres demo/run

# All end-to-end tests are run once more with the program behind pgbouncer in transaction mode (but for those that have a
# PostgreSQL of their own); these know no database.
NO_DATABASE = --skip decision:: --skip transform:: --skip config:: --skip api:: --skip commands:: --skip house:: \
	--skip tables::

# The end-to-end tests run the program that users get: what `cargo build --release` makes. Unit tests and properties run
# in a build that checks arithmetic and assertions.
RELEASE = $(CARGO) build --release --locked
SHIPPED = DATASYNC_TEST_BINARY="$${CARGO_TARGET_DIR:-$$PWD/target}/release/datasync"

test: requirements lint ## Run every check and test, on the optimised program; installs PostgreSQL if there is none
	. scripts/postgres.sh && pg_require && promtool_offer && bouncer_offer && strace_offer && faketime_offer && \
		PATH="$$PG_BIN:$$PATH" && $(RELEASE) && $(SHIPPED) $(CARGO) test --locked && \
		if bouncer_found; then $(SHIPPED) TEST_PGBOUNCER=1 $(CARGO) test --locked --test it -- $(NO_DATABASE); fi

soak: requirements ## Kill the program 200 times and at every call of the spool, play 10,000 random schedules, read 50,000 random sources, confirm 10,000 findings on tables (an hour)
	. scripts/postgres.sh && pg_require && strace_offer && PATH="$$PG_BIN:$$PATH" && $(RELEASE) && \
		$(SHIPPED) DATASYNC_KILLS=200 DATASYNC_SCHEDULES=10000 DATASYNC_ROUNDS=600 DATASYNC_CALLS=all DATASYNC_SOURCES=50000 DATASYNC_FINDINGS=10000 \
		$(CARGO) test --locked --test it -- --nocapture soak:: simulation:: spool_calls:: moving:: sources::random:: mapped_random:: && \
		$(CARGO) test --locked --test it

# Memory that is lost for good is an error, as is every access that is not allowed. A leak can only grow where there is one,
# so none is let pass: there is no list of exceptions.
VALGRIND_OPTIONS = --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite --fair-sched=try

memcheck: requirements ## Run the commands, cases, reports, retries and the spool of the optimised program under valgrind (ten minutes)
	. scripts/postgres.sh && pg_require && valgrind_require && PATH="$$PG_BIN:$$PATH" && $(RELEASE) && \
		$(SHIPPED) DATASYNC_TEST_WRAPPER="$$VALGRIND $(VALGRIND_OPTIONS)" $(CARGO) test --locked --test it -- \
		commands::every_row commands::every_command_ends_in_order_without_a_database incidents:: memory_errors::

versions: ## Try every shape of a table on PostgreSQL 13 to 18 (got by npm, or PG_FOLDERS=a:b), and write docs/tables.md
	@scripts/requirements
	scripts/versions

lint: ## Check the formatting, clippy and the documentation of the code, with warnings as errors
	@scripts/requirements
	@$(CARGO) fmt --version >/dev/null && $(CARGO) clippy --version >/dev/null || { echo 'Type: rustup component add rustfmt clippy' >&2; exit 1; }
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --quiet

audit: ## Check licences, duplicate and banned crates, where crates come from, known vulnerabilities, and the CI workflow
	scripts/audit

dist: ## Make the tarball, Debian package, SBOM and sums of a release in dist/, from a clean tree, twice with the same bytes
	scripts/dist

fmt: ## Format the code
	$(CARGO) fmt

bench: requirements ## Measure throughput and memory beside what psql, PostgreSQL and other tools can do (ten minutes; release build)
	scripts/with-postgres $(CARGO) bench --locked --bench throughput

fixtures: ## Write the fixture of customer records anew
	$(CARGO) run --locked --quiet --example make_customers

pictures: requirements ## Draw the pictures of a report page in docs/, and check that pages fit phone, tablet and desk; needs Chromium and Node.js
	$(CARGO) build --locked --bin datasync --example demo_api
	PG_SETTINGS=fsync=off scripts/with-postgres scripts/pictures
