# Copyright The sandbox-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# `make help` says what there is. Everything needs Go 1.26, make and git; tools and test programs
# are built from their Go modules into bin/ when first used.

# The version that the manager reports.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The image that docker-build makes and deploy names.
IMG ?= controller:latest
# The private key of ssh-keygen that signs a release.
KEY ?=
PLATFORMS ?= linux/amd64,linux/arm64,linux/ppc64le,linux/s390x
CONTAINER_TOOL ?= docker
# What `make test` and `make test-unit` test, and further flags for go test, such as -run or -v. Where nothing is said,
# `make test` runs what measures by itself, after all the rest.
PKG ?= ./...
MEASURING := ./test/system/budgets
TESTFLAGS ?=
# The revision that `make compat` and `make test-upgrade` compare with.
BASE ?=
# Arguments for `make run`, such as ARGS=--backends=local
ARGS ?=

# The cluster's own tool where there is one, else the one that was built.
KUBECTL ?= hack/kubectl
CONTROLLER_GEN := hack/tool controller-gen
KUSTOMIZE := hack/tool kustomize
GOLANGCI_LINT := hack/tool golangci-lint
# Each folder with a go.mod of its own.
EXAMPLES := $(patsubst %/go.mod,%,$(wildcard examples/*/go.mod))
MODULES := . $(patsubst %/go.mod,%,$(wildcard hack/*/go.mod)) $(EXAMPLES)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
# Not one target here is a file: the go command knows best what is up to date.
MAKEFLAGS += --no-print-directory

##@ General

.PHONY: help
help: ## Say what each target does.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-zA-Z_-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: binaries build bin/controlplane-up ## Run code in a sandbox on this machine, with a control plane of its own (KEEP=1 leaves it running).
	@hack/with-binaries hack/demo.sh

.PHONY: demo-daytona
demo-daytona: binaries build bin/controlplane-up ## The same with sandboxes of a fake Daytona on this machine: no account is needed.
	@CGO_ENABLED=0 go build -trimpath -o bin/fake-daytona ./test/fakes/daytona/cmd
	@hack/with-binaries hack/demo.sh daytona

.PHONY: demo-e2b
demo-e2b: binaries build bin/controlplane-up ## Run a command at a fake E2B on this machine, without an account (as root on Linux).
	@CGO_ENABLED=0 go build -trimpath -o bin/fake-e2b ./test/fakes/e2b/cmd
	@hack/with-binaries hack/demo-e2b.sh

##@ Development

.PHONY: generate
generate: ## Generate deepcopy methods, the Go client, and types for protocols.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...
	hack/generate-client
	@for example in $(EXAMPLES); do \
		(cd "$$example" && ../../$(CONTROLLER_GEN) object:headerFile=../../hack/boilerplate.go.txt crd paths=./api/... output:crd:dir=config/crd); \
	done
	hack/tool protogo internal/backends/e2b/envd

.PHONY: manifests
manifests: ## Generate CRDs, their reference in docs, and the manager's roles, also those of the chart.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=manager-role paths=./internal/... output:rbac:dir=config/rbac
	hack/tool roles
	hack/tool reference

.PHONY: fmt
fmt: ## Format the code and sort its imports.
	$(GOLANGCI_LINT) fmt ./...

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: verify ## Check everything that needs no running: linters, Kubernetes API conventions, generated files, go.mod files.
	@for script in hack/* .ci/*; do if head -n1 "$$script" 2>/dev/null | grep -q 'bash$$'; then bash -n "$$script"; fi; done
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run ./...

.PHONY: lint-fix
lint-fix: ## Run the linters and mend what they can mend.
	$(GOLANGCI_LINT) run --fix ./...

.PHONY: verify
verify: verify-generated verify-tidy ## Fail if generated files are stale or a go.mod is untidy.

.PHONY: verify-generated
verify-generated: ## Fail if generated code or manifests are stale.
	@hack/verify-generated

.PHONY: verify-tidy
verify-tidy: ## Fail if a go.mod or go.sum is untidy.
	@for module in $(MODULES); do \
		(cd "$$module" && go mod tidy -diff) || { echo "$$module/go.mod is untidy: run make tidy" >&2; exit 1; }; \
	done

.PHONY: tidy
tidy: ## Tidy every go.mod.
	@for module in $(MODULES); do (cd "$$module" && go mod tidy); done

.PHONY: test
test: ## Run all tests on a real API server and, as root on Linux, in real sandboxes (PKG=./... RACE=0 TESTFLAGS=).
ifeq ($(PKG),./...)
	@hack/with-binaries hack/test $(TESTFLAGS) $$(go list ./... | grep -vx "$$(go list $(MEASURING))")
	@RACE=0 hack/with-binaries hack/test $(TESTFLAGS) $(MEASURING)
	@$(MAKE) test-examples
else
	@hack/with-binaries hack/test $(TESTFLAGS) $(PKG)
endif

.PHONY: test-examples
test-examples: ## Run the tests of examples/, which are modules of their own, as their readers' will be.
	@for example in $(EXAMPLES); do (cd "$$example" && go vet ./... && ../../hack/with-binaries ../../hack/test $(TESTFLAGS) ./...); done

.PHONY: bench-memory
bench-memory: ## Measure the memory that 10,000 finished runs cost the manager (some minutes).
	@RACE=0 TIMEOUT=30m FINISHED_RUNS=10000 hack/with-binaries hack/test -v $(MEASURING) -ginkgo.focus='10,000 finished runs'

.PHONY: test-unit
test-unit: ## Run the tests that need neither API server nor sandbox.
	@hack/test -short $(TESTFLAGS) $(PKG)

.PHONY: chaos
chaos: ## Kill the manager at every call that it makes, and look what leaks (docs/chaos.md; 10 minutes on two cores).
	@CHAOS_ALL=1 CHAOS_LANES=$${CHAOS_LANES:-6} TIMEOUT=30m RACE=0 hack/with-binaries hack/test -count=1 -v $(TESTFLAGS) ./test/chaos

.PHONY: crowd
crowd: ## Look after 10,000 idle sandboxes, and 1,000 through an outage of ten minutes (docs/chaos.md; half an hour).
	@CHAOS_CROWD=10000 CHAOS_OUTAGE=0s TIMEOUT=60m RACE=0 hack/with-binaries hack/test -count=1 -v -run Crowd ./test/chaos
	@CHAOS_CROWD=1000 CHAOS_OUTAGE=10m TIMEOUT=60m RACE=0 hack/with-binaries hack/test -count=1 -v -run Crowd ./test/chaos

.PHONY: bench
bench: ## Measure speed and cost beside a bare controller (docs/performance.md; 15 minutes, and wants the machine for itself).
	@hack/with-binaries go run ./test/bench/cmd -json dist/bench.json $(ARGS)

.PHONY: bench-check
bench-check: ## The same, and fail where a figure is outside of its range (test/bench/ranges.yaml).
	@hack/with-binaries go run ./test/bench/cmd -json dist/bench.json -check $(ARGS)

.PHONY: compat
compat: ## Say which changes of the CRDs break what an earlier version took (BASE=REVISION, else the last tag or release).
	@go run ./hack/compat --base '$(BASE)'

.PHONY: test-upgrade
test-upgrade: ## Build the manager of an earlier version, and replace it by this one in the middle of its work (BASE=REVISION).
	@BASE='$(BASE)' hack/with-binaries hack/upgrade

.PHONY: docs
docs: ## Follow the documentation from top to bottom (PAGE=docs/files; DOCS_UPDATE=1 puts what is printed into the pages).
	@RACE=0 hack/with-binaries hack/test -count=1 ./test/docs/...  -run '$(if $(PAGE),Pages/$(PAGE)$$)'

.PHONY: fuzz
fuzz: ## Feed what reads bytes from outside with bytes that nobody thought of (FUZZTIME=10s for each of the targets).
	@hack/fuzz

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in what the manager calls; its database is on the network.
	@hack/vulncheck

# Where KUBECONFIG is set, it uses that cluster, and IMG, an image that is there or can be pulled.
E2E := RACE=0 E2E=1 IMG=$(IMG) hack/test -count=1 -p 1 -v ./test/e2e/... $(TESTFLAGS)

.PHONY: e2e
e2e: ## Install the operator in a real cluster and try it there (root on Linux, or KUBECONFIG and IMG; a quarter of an hour).
ifeq ($(KUBECONFIG),)
	@hack/build-binaries k8s etcd node
	@RACE=0 E2E=1 hack/test -count=1 -v ./test/node
endif
	@TIMEOUT=40m $(E2E)

.PHONY: e2e-ci
e2e-ci: ## The part of it that takes few minutes, in a cluster of its own.
	@hack/build-binaries k8s etcd node
	@env -u KUBECONFIG RACE=0 E2E=1 TIMEOUT=15m hack/test -count=1 -v ./test/e2e -ginkgo.label-filter=ci

.PHONY: binaries
binaries: ## Build the programs for tests and the demo: control plane and runsc (once; 7 minutes on two cores).
	@hack/build-binaries

.PHONY: control-plane
control-plane: binaries bin/controlplane-up ## Run a control plane with the CRDs until Ctrl-C; its kubeconfig is bin/kubeconfig.
	@hack/with-binaries bin/controlplane-up --kubeconfig bin/kubeconfig

.PHONY: node
node: bin/node-up ## Run a real cluster of one node, with pods, until Ctrl-C (root on Linux); its kubeconfig is bin/node.kubeconfig.
	@hack/build-binaries k8s etcd node
	@hack/with-binaries bin/node-up --kubeconfig bin/node.kubeconfig $(ARGS)

##@ Build

.PHONY: build
build: ## Build the manager and the plugin of kubectl to bin/manager and bin/kubectl-sandbox.
	$(GO_BUILD) -o bin/manager ./cmd/manager
	$(GO_BUILD) -o bin/kubectl-sandbox ./cmd/kubectl-sandbox

.PHONY: bin/controlplane-up
bin/controlplane-up:
	@CGO_ENABLED=0 go build -trimpath -o $@ ./hack/controlplane-up

.PHONY: bin/node-up
bin/node-up:
	@CGO_ENABLED=0 go build -trimpath -o $@ ./hack/node-up

.PHONY: run
run: ## Run the manager on this machine against the cluster of the current kubeconfig (ARGS=--backends=local).
	go run ./cmd/manager $(ARGS)

.PHONY: image
image: ## Build the image IMG without docker or a registry, to dist/image.tar (for docker load, kind load image-archive, ctr import).
	@go run ./hack/image --tag $(IMG) --version $(VERSION) --output dist/image.tar

.PHONY: docker-build
docker-build: ## Build the image IMG.
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: docker-push
docker-push: ## Push the image IMG.
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: docker-buildx
docker-buildx: ## Build and push the image IMG for all PLATFORMS.
	sed 's/^FROM \($${BUILDER_IMAGE}\)/FROM --platform=$$BUILDPLATFORM \1/' Dockerfile | \
		$(CONTAINER_TOOL) buildx build --platform $(PLATFORMS) --build-arg VERSION=$(VERSION) --push -t $(IMG) -f - .

.PHONY: sbom
sbom: build ## Write what the manager is made of to dist/sbom.cdx.json (CycloneDX).
	@mkdir -p dist
	@go run ./hack/sbom --version $(VERSION) bin/manager >dist/sbom.cdx.json

.PHONY: release
release: ## Write what a release has beside its image to dist/release, with signed checksums (VERSION=v1.2.3 KEY=FILE; SECURITY.md).
	@KEY='$(KEY)' hack/release $(VERSION) $(IMG)

.PHONY: build-installer
build-installer: manifests generate ## Write everything that installs the operator to dist/install.yaml.
	@mkdir -p dist
	@hack/render $(IMG) >dist/install.yaml.partial
	@mv dist/install.yaml.partial dist/install.yaml
	@echo "Wrote dist/install.yaml for the image $(IMG)"

##@ Deployment (to the cluster of the current kubeconfig)

# Whether undeploy and uninstall make nothing of what is not there.
ignore-not-found ?= false
# How long undeploy waits for the operator to destroy the sandboxes.
TIMEOUT ?= 5m

.PHONY: install
install: manifests ## Install the CRDs.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -

.PHONY: uninstall
uninstall: manifests ## Remove the CRDs, and with them every object of theirs.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found=$(ignore-not-found) -f -

.PHONY: deploy
deploy: manifests ## Install CRDs and the operator with the image IMG.
	hack/render $(IMG) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: ## Destroy all sandboxes, and remove the operator and the CRDs after them (TIMEOUT=5m).
	@KUBECTL='$(KUBECTL)' TIMEOUT=$(TIMEOUT) IGNORE_NOT_FOUND=$(ignore-not-found) hack/undeploy

##@ Housekeeping

.PHONY: clean
clean: ## Remove what was built, but for tools and test programs, which take minutes.
	rm -rf dist bin/manager bin/kubectl-sandbox bin/controlplane-up bin/node-up bin/render bin/fake-daytona bin/fake-e2b

.PHONY: distclean
distclean: clean ## Remove tools and test programs as well.
	rm -rf bin
