#!/bin/sh
# Installs what the end-to-end tests need beyond Go: a browser. Does nothing when all of it is there.
set -eu

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev" # the race detector links with cgo

[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "make test needs these Debian packages:$missing" >&2
	echo "install them as root: apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words on purpose
apt-get install -y -qq --no-install-recommends $missing
