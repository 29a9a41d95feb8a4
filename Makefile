# lodge: what one does every day. `make help` lists it.
SHELL   := /bin/bash
GO      ?= go
TAGS    := -tags libvirt_dlopen
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)'
SEED    ?=
SIM     ?= Simulation
CACHE   ?= /var/cache/lodge
HOST_PACKAGES := libvirt-daemon-system,libvirt-clients,qemu-system-x86,qemu-utils,dnsmasq-base,iptables,nftables,apparmor

.DEFAULT_GOAL := help

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build-failpoint: ## bin/failpoint/lodged, which tests can have die at a named step
	$(GO) build -tags libvirt_dlopen,failpoint -trimpath $(LDFLAGS) -o bin/failpoint/ ./cmd/lodged

build: ## bin/lodged and bin/lodge
	$(GO) build $(TAGS) -trimpath $(LDFLAGS) -o bin/ ./cmd/...

check: ## what needs no libvirt: format, vet, staticcheck, known vulnerabilities, shell syntax, unit tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(TAGS) ./...
	$(GO) tool staticcheck $(TAGS) ./...
	scripts/lib/vulnerabilities $(TAGS) ./...
	@for f in $$(git ls-files scripts .ci | xargs grep -lE '^#!.*bash' ); do bash -n $$f || exit 1; done
	$(GO) test $(TAGS) ./...

test: ## every test, on real libvirt and QEMU (as root)
	scripts/test

bench: ## figures of docs/performance.md, ratios side by side (as root)
	scripts/bench

sim: ## the simulations with N (200) random seeds; SEED=n ZONE=z replays one, SIM=TestSimulationOfAYear picks one
	LODGE_SIM_ZONE=$${ZONE:-$$(shuf -n 1 -e UTC America/New_York Australia/Lord_Howe Asia/Kathmandu Europe/Berlin Pacific/Apia)} LODGE_SIM_SEED=$(SEED) LODGE_SIM_RUNS=$${N:-$${RUNS:-200}} $(GO) test $(TAGS) -count=1 -timeout 0 -run '$(SIM)' ./reconcile/... ./cmd/lodged/daemon

chaos: build build-failpoint ## lodged killed KILLS (200) times on real libvirt and QEMU; SEED=n draws the same again (as root)
	LODGE_CHAOS_KILLS=$${KILLS:-200} LODGE_CHAOS_SEED=$(SEED) LODGE_BIN=$(CURDIR)/bin $(GO) test $(TAGS) -count=1 -timeout 0 -v -run KilledAtAnyMoment -exec "$(CURDIR)/scripts/world --" ./e2e

service: build ## the service beside libvirt under systemd in a Debian guest, with a guest of its own: some minutes (as root)
	@dir=$$(mktemp -d) && chmod 711 $$dir && trap "rm -rf $$dir" EXIT && \
	scripts/build-image --kind tiny --out $$dir/tiny.qcow2 --cache $(CACHE) && \
	scripts/build-image --kind standard --size 5G --packages $(HOST_PACKAGES) --out $$dir/host.qcow2 --cache $(CACHE) && \
	LODGE_TINY_IMAGE=$$dir/tiny.qcow2 LODGE_HOST_IMAGE=$$dir/host.qcow2 LODGE_BIN=$(CURDIR)/bin $(GO) test $(TAGS) -count=1 -timeout 60m -v -run BesideALibvirt -exec "$(CURDIR)/scripts/world --" ./e2e

fuzz: ## every fuzz test for FUZZTIME (default 30s) each
	@for p in $$(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | cut -c6-); do \
	    echo "$$p $$f"; $(GO) test $(TAGS) -run "^$$f\$$" -fuzz "^$$f\$$" -fuzztime $${FUZZTIME:-30s} ./$$p || exit 1; done; done

attack: ## ten thousand slow connections over plain HTTP and TLS
	LODGE_ATTACK=1 $(GO) test $(TAGS) -count=1 -timeout 10m -v -run TenThousand ./cmd/lodged

load: ## five hundred clients for LODGE_LOAD (3m)
	LODGE_LOAD=$${LODGE_LOAD:-3m} $(GO) test $(TAGS) -count=1 -timeout 30m -v -run FiveHundredClients ./cmd/lodged

run: build ## lodged on a pretend host, in the foreground
	bin/lodged --sim

.PHONY: help build build-failpoint check test bench sim chaos load fuzz attack service run
