# The extension alone, for CloudNativePG (docs/kubernetes.md): docker build -f packaging/images/extension.Dockerfile -t vote-agg-extension:18 .
# The operator's image has the same Debian, and its PostgreSQL comes from the PostgreSQL project's packages.
ARG RUST=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST} AS build
ARG PG_MAJOR=18
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev libclang-dev make postgresql-common \
    && { apt-cache show "postgresql-server-dev-$PG_MAJOR" >/dev/null 2>&1 || /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y; } \
    && apt-get install -y --no-install-recommends "postgresql-server-dev-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A folder that outlives the build (a volume), and cheaper settings of cargo: for tests.
ARG CARGO_TARGET_DIR=/src/target
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL
ARG CARGO_PROFILE_RELEASE_LTO
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS
RUN make install PG_CONFIG="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" LIBDIR=/out/lib SHAREDIR=/out/share/extension

FROM scratch
COPY --from=build /out /
COPY LICENSE /licenses/vote_agg/
USER 65532:65532
