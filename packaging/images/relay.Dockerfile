# The relay and its map: docker build -f packaging/images/relay.Dockerfile -t vote-agg-relay .
ARG DEBIAN=docker.io/library/debian:bookworm-slim
ARG RUST=docker.io/library/rust:1.95-slim-bookworm
ARG NODE=docker.io/library/node:22-bookworm-slim

FROM ${RUST} AS build
# The memory allocator (jemalloc) is built by make.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A folder that outlives the build (a volume), and cheaper settings of cargo: for tests. The extension, and with it a PostgreSQL, stays
# out of this image.
ARG CARGO_TARGET_DIR=/src/target
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL
ARG CARGO_PROFILE_RELEASE_LTO
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS
RUN cargo build --release --locked -p vote_agg_relay \
    && install -D "$CARGO_TARGET_DIR/release/vote-agg-relay" /out/usr/local/bin/vote-agg-relay

FROM ${NODE} AS map
WORKDIR /src
COPY client client
COPY fixtures fixtures
RUN npm --prefix client/map ci --ignore-scripts --no-audit --no-fund && npm --prefix client/map run build

FROM ${DEBIAN}
# No pinned versions: the authorities to trust are meant to be the newest.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out /
COPY --from=map /src/client/map/dist /usr/local/share/vote-agg-map
COPY packaging/images/relay-health /usr/local/bin/
USER 65534:65534
ENV WS_PORT=3001 LOG_FORMAT=json MAP_DIR=/usr/local/share/vote-agg-map
EXPOSE 3001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["relay-health"]
ENTRYPOINT ["vote-agg-relay"]
