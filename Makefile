# vote_agg. `make help` lists the targets.
PG_CONFIG ?= $(shell ls /usr/lib/postgresql/15/bin/pg_config 2>/dev/null || command -v pg_config)
VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" vote_agg.control)
PGMAJOR := $(shell $(PG_CONFIG) --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
SQL := $(addprefix sql/,tables.sql write.sql match.sql fold.sql read.sql views.sql grants.sql)
CARGO_BUILD := PGRX_PG_CONFIG_PATH=$(PG_CONFIG) cargo build --release --locked -p vote_agg --no-default-features --features pg$(PGMAJOR)

.PHONY: all install uninstall installcheck test check demo bench lint clean help

all: build/vote_agg--$(VERSION).sql ## build the library and the install script
	$(CARGO_BUILD)

build/vote_agg--$(VERSION).sql: $(SQL) vote_agg.control
	@mkdir -p build
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION vote_agg" to load this file. \quit'; cat $(SQL); } > $@

install: all ## install into the PostgreSQL of PG_CONFIG
	install -d '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)' '$(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension'
	install -m 755 target/release/libvote_agg.so '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)/vote_agg.so.new'
	mv '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)/vote_agg.so.new' '$(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)/vote_agg.so'
	install -m 644 vote_agg.control build/vote_agg--$(VERSION).sql $(wildcard sql/vote_agg--*.sql) '$(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension/'

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14
