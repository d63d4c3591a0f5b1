# Image of claude-switchboard: deploy/container/README.md has how to build and run it, and what it weighs.
#
#   docker build -t claude-switchboard .                          # with the Claude CLI, the default
#   docker build -t claude-switchboard --target server-only .     # without it: mount yours as /usr/local/bin/claude
#
# It has no heredocs, so that buildah builds it too (`buildah bud --format docker`, or there is no HEALTHCHECK).

# The Rust version is that of rust-toolchain.toml. Both compilers' images and the base have the same C library.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG NODE_IMAGE=docker.io/library/node:22-bookworm-slim
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# A profile of Cargo.toml; `quick` compiles in a third of the time of `release`.
ARG PROFILE=release
WORKDIR /build
COPY . .
# A kept target folder may be newer than the sources of another checkout, which cargo would then not compile.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    find src crates -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" --package claude-switchboard --bin claude-switchboard \
    && folder=target/$PROFILE && if [ "$PROFILE" = dev ]; then folder=target/debug; fi \
    && install -D "$folder/claude-switchboard" /out/claude-switchboard

FROM ${NODE_IMAGE} AS cli
WORKDIR /cli
# The version of the CLI stands in tools/cli alone.
COPY tools/cli/package.json tools/cli/package-lock.json ./
# Install scripts are off, except the one that puts the platform's binary in place.
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    npm ci --ignore-scripts --include=optional --no-audit --no-fund --loglevel=error \
    && node node_modules/@anthropic-ai/claude-code/install.cjs \
    && install -D node_modules/@anthropic-ai/claude-code/bin/claude.exe /out/claude

FROM ${BASE_IMAGE} AS runtime
# Agents need git; setpriv, for agents of another user, is in the base. tini reaps what agents leave behind: a program that its
# user cannot read shows that user no variables in /proc/1/environ, so agents do not find the server's secrets there.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && chmod 0711 /usr/bin/tini \
    && useradd --uid 10001 --gid 0 --no-create-home --home-dir /var/lib/switchboard/home --shell /usr/sbin/nologin switchboard \
    && install --directory --owner 10001 --group 0 --mode 0770 /var/lib/switchboard
ENV HOME=/var/lib/switchboard/home \
    LANG=C.UTF-8 \
    DISABLE_AUTOUPDATER=1 \
    SWITCHBOARD_SERVER__DATA_DIR=/var/lib/switchboard/data \
    SWITCHBOARD_SERVER__LISTEN=0.0.0.0:8080 \
    SWITCHBOARD_ADMIN__LISTEN=0.0.0.0:8081
WORKDIR /var/lib/switchboard
VOLUME /var/lib/switchboard
# The second is for the operator: admin API and dashboard.
EXPOSE 8080 8081
# Any other user works as well, if its group is 0 or it may write to the volume.
USER 10001:0
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["claude-switchboard", "health"]
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/usr/local/bin/claude-switchboard"]
CMD ["serve"]
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="claude-switchboard" \
      org.opencontainers.image.description="The OpenAI and Anthropic APIs, answered by the Claude CLI" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

FROM runtime AS server-only
COPY --chmod=0755 deploy/container/entrypoint.sh /usr/local/bin/claude-switchboard
COPY --from=build /out/claude-switchboard /usr/local/libexec/claude-switchboard

FROM runtime
# Before the server, so that a new server does not change the largest layer.
COPY --from=cli /out/claude /usr/local/bin/claude
COPY --chmod=0755 deploy/container/entrypoint.sh /usr/local/bin/claude-switchboard
COPY --from=build /out/claude-switchboard /usr/local/libexec/claude-switchboard
