#!/bin/sh
# Builds the programs that are shipped, for one platform, into a folder:
#
#   VERSION=v1.0.0 GOOS=linux GOARCH=arm64 deploy/build.sh FOLDER
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
for program in dex docker-entrypoint; do
	go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o "$folder/$program" "./cmd/$program"
done
unset GOOS GOARCH GOARM # the next one runs here
go run ./deploy/sbom -version "$VERSION" "$folder/dex" >"$folder/dex.cdx.json"
