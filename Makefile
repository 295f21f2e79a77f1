# The two commands that matter:
#   make run    build the box and serve on port 3142, data in ./data
#   make test   run every test that needs neither a container engine nor a cluster
# and the two for those:
#   make e2e          the image in a Docker engine of its own
#   make e2e-cluster  the chart in a Kubernetes of its own

SHELL      := /bin/bash
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
# A count, since go test calls a target that meets the end of its time failed at
# times.
FUZZTIME   ?= 20000x
export CGO_ENABLED ?= 1

.PHONY: run build test packages unit e2e-apt e2e-swarm e2e-setup e2e-chart e2e e2e-cluster browser screenshots lint fuzz compare bench clean

run: build
	./bin/millpond

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/millpond ./appliance

test: packages lint unit web fuzz e2e-apt e2e-swarm e2e-setup e2e-chart browser

# The Debian packages that the tests use, those that are missing (root).
packages:
	./.ci/packages

# What runs in one process, with the race detector.
unit:
	$(GO) test -race ./...

# The built box with the real apt, debootstrap and mmdebstrap.
e2e-apt: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./apt/...

# The dashboard's logic, and that web/dist is what its source makes.
.PHONY: web
web:
	cd web && npm ci --no-audit --no-fund && npm test && npm run build
	git diff --exit-code -- web/dist

# The dashboard in Debian's Chromium against the built box (needs chromium).
browser: build
	cd web && npm ci --no-audit --no-fund && MILLPOND_BINARY=$(CURDIR)/bin/millpond npm run browser

# Pictures of each view in both themes, in web/screenshots.
screenshots: build
	cd web && npm ci --no-audit --no-fund && MILLPOND_BINARY=$(CURDIR)/bin/millpond npm run screenshots

# Setting up a client and finding the box (needs shellcheck, curl, wget, dash).
e2e-setup: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./setup/...

# Several built boxes that give each other what they hold.
e2e-swarm: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 -timeout 15m ./swarm/...

# The chart as Helm renders it, against the API's own types and the built box.
e2e-chart: build
	cd e2e/chart && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./...

# The image, built and run by a Docker engine that the test starts (root).
e2e: packages
	cd e2e && $(GO) test -count=1 -timeout 30m ./container/...

# The chart in a Kubernetes that the test builds and starts (root).
e2e-cluster: packages
	cd e2e && $(GO) test -count=1 -timeout 45m ./cluster/...

lint:
	@out=$$(gofmt -l appliance internal e2e); if [ -n "$$out" ]; then echo "not formatted: $$out"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(STATICCHECK) ./...
	for m in e2e e2e/chart; do \
		(cd $$m && $(GO) mod tidy -diff && $(GO) vet ./... && $(STATICCHECK) ./...) || exit; \
	done

# Each fuzz target for a moment, from its seeds.
fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./.ci/fuzz

# Beside nginx and apt-cacher-ng on this machine, in about six minutes.
compare: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -run '^$$' -bench . -timeout 20m ./compare

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin
