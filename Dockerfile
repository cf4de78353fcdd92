# A static binary in an empty image: no shell, no libc, nothing else to patch.

FROM rust:1.95-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add x86_64-unknown-linux-musl
WORKDIR /build
COPY . .
# Built by what a first build of it did under load. The target directory is a cache and no layer, so the binary is copied
# out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cp "$(CARGO_BUILD_TARGET=x86_64-unknown-linux-musl bench/release.sh)/portcullis" /portcullis

# No CA certificates: the public roots are compiled in.
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="portcullis" \
      org.opencontainers.image.description="A reverse proxy that authorizes every HTTP request of an AI agent" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /portcullis /usr/local/bin/portcullis
USER 65532:65532
EXPOSE 8080 9902
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["run", "--config", "/etc/portcullis/portcullis.yaml"]
