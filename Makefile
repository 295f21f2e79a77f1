# The two commands that matter:
#   make run    build the box and serve on port 3142, data in ./data
#   make test   run every test

SHELL      := /bin/bash
GO         ?= go
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 5s
export CGO_ENABLED ?= 1

.PHONY: run build test unit e2e-apt lint fuzz bench clean

run: build
	./bin/millpond

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/millpond ./appliance

test: lint unit fuzz e2e-apt

# What runs in one process, with the race detector.
unit:
	$(GO) test -race ./...

# The built box with the real apt, debootstrap and mmdebstrap.
e2e-apt: build
	cd e2e && MILLPOND_BINARY=$(CURDIR)/bin/millpond $(GO) test -count=1 ./apt/...

lint:
	@out=$$(gofmt -l appliance internal e2e); if [ -n "$$out" ]; then echo "not formatted: $$out"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	cd e2e && $(GO) vet ./... && $(STATICCHECK) ./...

# Each fuzz target for a moment, from its seeds.
fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./.ci/fuzz

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin
