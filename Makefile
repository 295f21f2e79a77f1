# The commands to begin with:
#   make run     build the box and serve on port 3142, data in ./data
#   make check   format, lint and the quick tests, in under a minute
# and those that a change must pass in the end:
#   make test         every test that needs neither a container engine nor a cluster
#   make e2e          the image in a Docker engine of its own
#   make e2e-cluster  the chart in a Kubernetes of its own

SHELL      := /bin/bash
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LINTER      = v2.15.0
ACTIONLINT  = v1.7.12
GOLANGCI    = $(CURDIR)/bin/golangci-lint-$(LINTER)
# The modules under e2e/cluster are linted by lint-cluster, which needs a
# compiled Kubernetes.
MODULES     = . e2e e2e/chart e2e/clients deploy/release
# A count, since go test calls a target that meets the end of its time failed at
# times.
FUZZTIME   ?= 20000x
export CGO_ENABLED ?= 1

.PHONY: run build check test packages unit damage arm format e2e-apt e2e-apt-suite e2e-apt-suite-short e2e-swarm e2e-hostile e2e-hostile-short e2e-faults e2e-faults-short e2e-load e2e-load-short e2e-soak e2e-soak-short e2e-trace trace e2e-setup e2e-chart e2e-clients e2e-manual manual release trust release-test release-test-short release-install actions e2e e2e-cluster browser screenshots lint lint-cluster fuzz bench bench-short microbench clean

run: build
	./bin/millpond

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/millpond ./appliance

# What to run while you work: the main module, without the race detector and
# without the tests that take seconds (testing.Short).
check: format $(GOLANGCI)
	$(GOLANGCI) run ./...
	$(GO) test -short ./...

test: packages lint unit arm web fuzz e2e-apt e2e-apt-suite-short e2e-swarm e2e-hostile-short e2e-faults-short e2e-load-short e2e-soak-short bench-short e2e-trace e2e-setup e2e-chart e2e-clients e2e-manual manual release-test-short release-install actions browser

# The Debian packages that the tests use, those that are missing (root).
packages:
	./.ci/packages

# What runs in one process, with the race detector. On a busy machine a package can
# take longer than the 10 minutes that go allows by itself.
unit:
	$(GO) test -race -timeout 25m ./...

# The database, each kind of its files damaged in each way: some 500 cases, in minutes.
damage:
	$(GO) test -count=1 -timeout 25m -run TestDamage ./internal/kv -damage-cases 10

# The box for 32-bit ARM, with the quick tests of what counts bytes or lays them
# out under QEMU (needs qemu-user), and what a contributor on a Mac can check.
ARM_TESTED = digest deb deb822 keyring kv ledger catalog store
# Skipped: tests that start the test binary or dpkg again, which qemu-user cannot
# do; those that purge, since Badger 4.9.6 cannot compact on 32-bit machines; and what
# needs the address of a fault, which qemu-user does not give.
# Go preempts goroutines by signals, which crashes its runtime under qemu-user now and
# then (golang.org/issue/36981).
# -trimpath everywhere, since a dependency compiled with it is another to go's cache;
# vet for the machine that is built for, since another would be compiled for alone.
arm: export CGO_ENABLED = 0
arm: export GODEBUG = asyncpreemptoff=1
arm: export GOFLAGS = -trimpath
arm:
	GOOS=linux GOARCH=arm GOARM=7 $(GO) build -o bin/millpond-arm ./appliance
	GOOS=linux GOARCH=arm GOARM=7 $(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=linux GOARCH=arm GOARM=7 $(GO) test -short -skip "TestKill|TestPurge|^TestSetAsideIsBounded$$|TestCompareVersions|^TestUnreadablePage$$" -exec qemu-arm $(ARM_TESTED:%=./internal/%)

# The built box with the real apt, debootstrap and mmdebstrap.
e2e-apt: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -timeout 25m ./apt/...

# apt's own tests that have a web server, from its source package, without a box
# and through the built one, with a table (root); some of them, only through it.
e2e-apt-suite: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 90m ./aptsuite

e2e-apt-suite-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -short ./aptsuite

# npm writes it last.
NODE_MODULES = web/node_modules/.package-lock.json
$(NODE_MODULES): web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

# The dashboard's logic, that its types are the API's, and that web/dist is what
# its source makes.
.PHONY: web
web: $(NODE_MODULES)
	$(GO) test -run '^TestGenerated$$' ./internal/dashboard
	cd web && npm test && npm run build
	git diff --exit-code -- web/dist

# The OpenAPI document and the page's types, from internal/api.
.PHONY: api
api:
	$(GO) test -run '^TestGenerated$$' ./internal/dashboard -update

# The dashboard in Debian's Chromium against the built box (needs chromium).
browser: build $(NODE_MODULES)
	cd web && MILLPOND_BINARY=$(CURDIR)/bin/millpond npm run browser

# Pictures of each view in both themes, in web/screenshots.
screenshots: build $(NODE_MODULES)
	cd web && MILLPOND_BINARY=$(CURDIR)/bin/millpond npm run screenshots

# Setting up a client, its https sources, and finding the box (needs shellcheck, curl,
# wget, dash).
e2e-setup: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./setup/...

# Several built boxes that give each other what they hold.
e2e-swarm: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -timeout 15m ./swarm/...

# Several built boxes and dishonest ones in network namespaces, with a table of what
# those cost (root): each scenario in its long form, in an hour and a half on two
# cores; and three in a short one, in under 100 s. ARCHITECTURE.md has their names.
e2e-hostile: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 180m ./hostile

e2e-hostile-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -short -timeout 10m ./hostile

# The built box while it is killed at random, its files rot, its database is damaged and
# its disk fails, with 200,000 blobs, and with the data and the boxes of another version
# (root): in a quarter of an hour, and in a short form in under 90 s.
e2e-faults: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 60m ./faults

e2e-faults-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -short -timeout 10m ./faults

# The built box with 2,000 clients, with clients that hardly read and with files that
# its mirror does not have, beside quick clients whose rate is measured (root).
e2e-load: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 20m -skip TestSoak ./load

e2e-load-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -short -timeout 5m -skip TestSoak ./load

# The built box under mixed load for an hour, and for three minutes, while its mirror
# fails and other boxes come and go (root).
e2e-soak: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 90m -run TestSoak ./load

e2e-soak-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -short -timeout 10m -run TestSoak ./load

# What eviction and prefetching are worth, on two generations of a real archive: tables,
# and the curve in bin/trace.svg, in some minutes on a free machine.
trace:
	mkdir -p bin && cd e2e && TMPDIR=/dev/shm $(GO) run ./trace -svg $(CURDIR)/bin/trace.svg

# The same with a small synthetic archive, as a test.
e2e-trace:
	cd e2e && $(GO) test -count=1 ./trace

# Clients of the API that others would generate from its document.
e2e-clients: build
	cd e2e/clients && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./...

# The chart as Helm renders it, against the API's own types and the built box.
e2e-chart: build
	cd e2e/chart && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./...

# The commands of the manual's pages, run where they can be.
e2e-manual: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -timeout 15m ./manual

# The manual as a static site, in bin/manual, with its links checked (needs mkdocs).
manual:
	mkdocs build --strict

# Binaries, Debian packages, image, chart, SBOM, provenance and checksums in bin/release,
# the same from the same commit. RELEASE_KEY is a file with an OpenPGP key, which signs;
# RELEASE_TRUST is a directory with certificates and keyrings for the image.
RELEASE_TRUST ?= $(CURDIR)/bin/trust
release: $(RELEASE_TRUST)
	cd deploy/release && $(GO) run . -root $(CURDIR) -out $(CURDIR)/bin/release -trust $(abspath $(RELEASE_TRUST)) \
		-key "$(if $(RELEASE_KEY),$(abspath $(RELEASE_KEY)))" -maintainer "$(RELEASE_MAINTAINER)" -tag "$(RELEASE_TAG)"

trust $(CURDIR)/bin/trust:
	./deploy/release/trust $(CURDIR)/bin/trust

# A release made twice, its parts read by the tools that users have: of all machines, and
# of this one only.
release-test:
	cd deploy/release && $(GO) test -count=1 -timeout 60m ./...

release-test-short:
	cd deploy/release && $(GO) test -count=1 -short -timeout 10m ./...

# The Debian package installed, upgraded and purged in a system with systemd (root).
release-install: packages
	cd deploy/release && $(GO) test -count=1 -timeout 15m -run TestPackageInASystem ./...

# The workflows of .github.
actions:
	$(GO) run github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT)

# The image, built and run by a Docker engine that the test starts (root).
e2e: packages
	cd e2e && $(GO) test -count=1 -timeout 30m ./container/...

# The chart in a Kubernetes that the test builds and starts (root).
e2e-cluster: packages
	cd e2e && $(GO) test -count=1 -timeout 45m ./cluster/...
	$(MAKE) lint-cluster

format:
	@out=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	if [ -n "$$out" ]; then echo "not formatted:" $$out; exit 1; fi

# Takes about a minute on two cores, once.
$(GOLANGCI):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINTER)
	mv bin/golangci-lint $@

# Every Go module but the two under e2e/cluster. `make web` lints TypeScript.
lint: format $(GOLANGCI)
	@set -e; for m in $(MODULES); do \
		echo "lint $$m"; (cd $$m && $(GO) mod tidy -diff && $(GOLANGCI) run ./...); \
	done

# With the flags of the test's own build, so that Kubernetes is compiled once.
lint-cluster: $(GOLANGCI)
	@set -e; for m in e2e/cluster/coredns e2e/cluster/kubernetes; do \
		echo "lint $$m"; (cd $$m && $(GO) mod tidy -diff && CGO_ENABLED=0 GOFLAGS=-trimpath $(GOLANGCI) run ./...); \
	done

# Each fuzz target for a moment, from its seeds.
fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./.ci/fuzz

# The box beside nginx, apt-cacher-ng, squid and a bare net/http server on this machine, in
# an hour and a half: docs/benchmarks.md and its picture are written.
bench: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -v -timeout 180m -run TestBench ./compare -out $(CURDIR)/docs

# The same with small counts, as a test of the page; nothing is written.
bench-short: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -short -timeout 10m ./compare

# The benchmarks of single functions.
microbench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin
