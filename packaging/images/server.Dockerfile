# PostgreSQL with vote_agg: docker build -f packaging/images/server.Dockerfile -t vote-agg-server .
# Debian 12 has PostgreSQL 15; for 17: --build-arg DEBIAN=docker.io/library/debian:trixie-slim --build-arg PG_MAJOR=17
ARG DEBIAN=docker.io/library/debian:bookworm-slim
ARG RUST=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST} AS build
ARG PG_MAJOR=15
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libclang-dev make "postgresql-server-dev-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A folder that outlives the build (a volume), and cheaper settings of cargo: for tests.
ARG CARGO_TARGET_DIR=/src/target
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL
ARG CARGO_PROFILE_RELEASE_LTO
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS
RUN make install DESTDIR=/out PG_CONFIG="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config"

FROM ${DEBIAN}
ARG PG_MAJOR=15
# A user whose number is known outside, too. Debian would make one, and a cluster that it starts.
# hadolint ignore=DL3008
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid 999 --home-dir /var/lib/postgresql --no-create-home --shell /bin/bash postgres \
    && mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/vote_agg.conf \
    && apt-get update \
    && apt-get install -y --no-install-recommends "postgresql-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres /var/lib/postgresql /run/postgresql
COPY --from=build /out /
COPY packaging/images/server-entrypoint /usr/local/bin/
ENV PATH=/usr/lib/postgresql/$PG_MAJOR/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data PGPORT=5432 LANG=C.UTF-8
USER 999:999
VOLUME /var/lib/postgresql
EXPOSE 5432
# Ends sessions and writes everything down; SIGTERM would wait for the sessions.
STOPSIGNAL SIGINT
# While the first start makes the database, the server listens on its socket only.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["pg_isready", "-q", "-h", "127.0.0.1", "-d", "votes"]
ENTRYPOINT ["server-entrypoint"]
