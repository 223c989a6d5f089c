VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo DEV)
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

.PHONY: run
run: ready build ## Start Dex and the example application; prints what to open and type
	@mkdir -p var/sqlite
	@# On a terminal the script is a job of its own, so that Ctrl-C reaches only it: make would report a failure.
	@if [ -t 0 ] && [ -t 2 ]; then bash -mc './dev/run.sh; exit $$?'; else ./dev/run.sh; fi

.PHONY: ready
ready:
	@./dev/run.sh check

.PHONY: build
build: ## Build bin/dex and bin/example-app, both static
	VERSION='$(VERSION)' ./deploy/build.sh bin dex
	cd examples && go build -trimpath -o ../bin/example-app ./example-app

PLATFORMS ?= $(shell cat deploy/platforms)
empty :=
comma := ,

.PHONY: image
image: ## Build the container image for all PLATFORMS into bin/image, without a container engine
	rm -rf bin/image
	cd deploy/container/assemble && go run . -C ../../.. -o ../../../bin/image -tag '$(VERSION)' \
		-build-arg VERSION='$(VERSION)' -build-arg REVISION='$(shell git rev-parse HEAD)' \
		-platforms '$(subst $(empty) ,$(comma),$(strip $(PLATFORMS)))'

.PHONY: release
release: ## Build archives for all PLATFORMS with checksums and bills of materials into bin/release
	rm -rf bin/release
	VERSION='$(VERSION)' ./deploy/release.sh bin/release $(PLATFORMS)

.PHONY: deb
deb: ## Build the Debian package for this machine, or another ARCH, into bin
	VERSION='$(VERSION)' ./deploy/debian/build.sh bin $(ARCH)

# Hashes and ciphers share nothing between goroutines, and bcrypt takes 15 times as long under the race detector: they are built without it.
export RACE = -race $(foreach p,golang.org/x/crypto/blowfish golang.org/x/crypto/blake2b golang.org/x/crypto/argon2 crypto/internal/fips140/...,-gcflags=$p=-race=false)

.PHONY: test
test: build ## Install what the tests need, and run them all
	./test/install.sh
	CGO_ENABLED=1 go test $(RACE) -timeout 25m ./...
	cd examples && CGO_ENABLED=1 go test $(RACE) ./...
	@echo 'Building a Kubernetes API server, kubectl and Helm for the tests: that takes minutes, but only the first time.'
	cd test && CGO_ENABLED=0 go run ./programs # once, before several tests need them
	cd test/servers/vault && CGO_ENABLED=0 go build -o /dev/null .
	cd test/servers/provider && CGO_ENABLED=0 go build -o /dev/null .
	cd test/servers/oauth2proxy && CGO_ENABLED=0 go build -trimpath -o /dev/null github.com/oauth2-proxy/oauth2-proxy/v7
	cd test/servers/grpcurl && CGO_ENABLED=0 go build -trimpath -o /dev/null github.com/fullstorydev/grpcurl/cmd/grpcurl
	cd test && CGO_ENABLED=1 go test $(RACE) -count=1 -timeout 45m ./...

.PHONY: lint
lint: ## Check the code
	@test -z "$$(gofmt -l cmd internal deploy examples test bench)" || { gofmt -l cmd internal deploy examples test bench; exit 1; }
	go tool -modfile=lint/go.mod golangci-lint run ./...
	cd examples && go tool -modfile=../lint/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd test && go tool -modfile=../lint/go.mod golangci-lint run --config ../.golangci.yml ./...
	cd deploy/container/assemble && go tool -modfile=../../../lint/go.mod golangci-lint run --config ../../../.golangci.yml ./...
	cd test/servers/vault && go tool -modfile=../../../lint/go.mod golangci-lint run --config ../../../.golangci.yml ./...
	cd dev/protos && go tool -modfile=../../lint/go.mod golangci-lint run --config ../../.golangci.yml ./...
	cd test/servers/provider && go tool -modfile=../../../lint/go.mod golangci-lint run --config ../../../.golangci.yml ./...

.PHONY: protos
protos: ## Write the Go code of the management API anew, from the protos in api
	go -C dev/protos run . ../.. ../..

.PHONY: bench
bench: build ## Measure each main operation on each storage, and its signatures alone
	./test/install.sh
	@echo 'Building a Kubernetes API server, kubectl and Helm: that takes minutes, but only the first time.'
	cd test && CGO_ENABLED=0 go run ./programs
	cd test && go run ./withservers -C .. -- go run ./bench $(BENCH)
	go test -run '^$$' -bench LoginPage ./internal/ui
	go test -run '^$$' -bench Decide ./internal/policy

# A chart's version has no v, and needs three numbers where there is no tag yet.
CHART_VERSION = $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0.0.0-g$(VERSION))

.PHONY: chart
chart: ## Package the Helm chart of this version into bin/
	helm package deploy/charts/dex --version $(CHART_VERSION) --app-version $(CHART_VERSION) --destination bin

.PHONY: clean
clean: ## Remove what was built and the development database
	rm -rf bin var
