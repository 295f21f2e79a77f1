# The box as an image of one static binary, the keys of Debian's and Ubuntu's
# archives and the certificates of public authorities. It runs as a user without
# rights, writes to its volume alone and needs no capability:
#
#   docker build -t millpond .
#   docker run -d --read-only --cap-drop ALL -p 3142:3142 -v millpond:/var/lib/millpond millpond
#
# It builds with BuildKit (DOCKER_BUILDKIT=1 before Docker 23), for linux/amd64
# and linux/arm64 (--platform): compilers run on the machine that builds, for
# the machine that runs. Keys of more archives: mount a directory of them at
# /etc/apt/keyrings.

FROM --platform=$BUILDPLATFORM node:20-bookworm AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,target=/cache/npm npm ci --no-audit --no-fund --cache /cache/npm
COPY web ./
RUN npm run build

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY appliance appliance
COPY internal internal
COPY web/embed.go web/
COPY --from=web /src/web/dist web/dist
# What the volume looks like before there is anything in it.
RUN mkdir /data
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache/go \
	GOCACHE=/cache/go CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
	go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /millpond ./appliance

# Trixie, since bookworm has no keys of Ubuntu's archive.
FROM --platform=$BUILDPLATFORM debian:trixie-slim AS trust
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates debian-archive-keyring ubuntu-keyring

FROM scratch
ARG VERSION=devel
# The commit, and when it was made, as 2026-11-28T12:00:00Z.
ARG REVISION=""
ARG CREATED=""
LABEL org.opencontainers.image.title="millpond" \
	org.opencontainers.image.description="An apt proxy for a site that seeds what it holds to other boxes" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="$VERSION" \
	org.opencontainers.image.revision="$REVISION" \
	org.opencontainers.image.created="$CREATED"
COPY --from=trust /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=trust /usr/share/keyrings /usr/share/keyrings
COPY LICENSE /usr/share/doc/millpond/
COPY --from=build /millpond /usr/bin/millpond
COPY --from=build --chown=65532:65532 /data /var/lib/millpond
USER 65532:65532
ENV PATH=/usr/bin MILLPOND_DATA_DIR=/var/lib/millpond
VOLUME /var/lib/millpond
# Clients, dashboard and metrics; other boxes, by TCP and by QUIC.
EXPOSE 3142 4001/tcp 4001/udp
STOPSIGNAL SIGTERM
# Opening a large cache may take a while after a crash.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["millpond", "healthcheck"]
ENTRYPOINT ["millpond"]
