#!/bin/sh
# Builds the programs that are shipped, for one platform, into a folder, with dex's bill of materials; or only one program:
#
#   VERSION=v1.0.0 GOOS=linux GOARCH=arm64 deploy/build.sh FOLDER [PROGRAM]
#
# The same source and version give the same bytes, on any machine and in any folder: with the release of Go that go.mod names,
# without cgo, and without anything of this machine's settings, folders or history.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
: "${VERSION:=DEV}"
if [ -z "${GOARM-}" ]; then unset GOARM; fi # a Dockerfile can't leave it out

GOTOOLCHAIN=go$(sed -n 's/^go //p' go.mod)
export GOTOOLCHAIN GOWORK=off GOFLAGS=-mod=readonly CGO_ENABLED=0
export GOAMD64=v1 GOARM64=v8.0 GOPPC64=power8 GORISCV64=rva20u64

# Runs a program of ours on this machine.
here() (
	unset GOOS GOARCH GOARM
	go run -trimpath "$@"
)

# docs/dependencies.md says what makes the programs small.
link="-s -w -X main.version=$VERSION"
[ "$(go env GOARCH)" != amd64 ] || link="$link -funcalign=16" # as elsewhere
# Nothing is inlined in what runs seldom, or only beside calls to another server. go.opentelemetry.io/otel/attribute and semconv aren't
# here: what they declare would be made at each start.
seldom="cel.dev/cel-go dario.cat github.com/antlr4-go/antlr github.com/Masterminds github.com/beevik github.com/fxamacker/cbor
	github.com/go-asn1-ber github.com/go-ldap github.com/go-viper github.com/go-webauthn github.com/golang-jwt github.com/google/go-tpm
	github.com/huandu github.com/prometheus github.com/russellhaering github.com/shopspring github.com/spf13 github.com/tinylib
	github.com/wneessen go.etcd.io go.opentelemetry.io/otel/sdk go.uber.org go.yaml.in golang.org/x/text google.golang.org/genproto
	google.golang.org/protobuf/encoding rsc.io
	encoding/gob encoding/xml image/png internal/profile net/http/pprof regexp/syntax runtime/pprof text/template/parse"
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
here ./deploy/overlay "$overlay" >"$overlay/file"
only=${2-}
set -- -trimpath -buildvcs=false -tags grpcnotrace -overlay "$(cat "$overlay/file")" -ldflags "$link"
for module in $seldom; do set -- "$@" -gcflags "$module/...=-l"; done
for program in ${only:-dex docker-entrypoint}; do go build "$@" -o "$folder/$program" "./cmd/$program"; done
[ -z "$only" ] || exit 0
here ./deploy/sbom -version "$VERSION" "$folder/dex" >"$folder/dex.cdx.json"
