# Copyright The sandbox-operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Any image with Go 1.26 or newer and CA certificates.
ARG BUILDER_IMAGE=golang:1.26

# `make docker-buildx` lets this stage run on the building machine's architecture, and compile for the target's.
FROM ${BUILDER_IMAGE} AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=unknown
# Where modules come from, if not from Go's defaults.
ARG GOPROXY
WORKDIR /src

# Dependencies change seldom: they get a layer of their own.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /manager ./cmd/manager

# `make image` makes the same without a container engine; hack/image has it once more, and a test compares the two.
FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="sandbox-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/sandbox-operator/sandbox-operator" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=builder /manager /manager
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["/manager"]
