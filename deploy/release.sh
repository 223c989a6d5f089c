#!/bin/sh
# Builds what a release consists of, for each platform, into a folder: an archive of the program with its bill of materials, and
# the checksums of all:
#
#   VERSION=v1.0.0 deploy/release.sh FOLDER [PLATFORM ...]
#
# The same source and version give the same bytes.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
: "${VERSION:=DEV}"
export VERSION
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(cat "$here/platforms")

for platform; do
	name=dex-$VERSION-$(echo "$platform" | tr / -)
	arch=${platform#*/}
	GOOS=${platform%%/*} GOARCH=${arch%%/*} GOARM=$(echo "$arch" | sed -n 's,.*/v,,p') "$here/build.sh" "$folder/$name"
	rm "$folder/$name/docker-entrypoint" # for the image only
	cp "$here/../LICENSE" "$here/../README.md" "$here/../CHANGELOG.md" "$here/systemd/dex.service" "$folder/$name"
	cp "$folder/$name/dex.cdx.json" "$folder/$name.cdx.json"
	chmod -R u=rwX,go=rX "$folder/$name"
	tar -C "$folder" --sort=name --mtime="@${SOURCE_DATE_EPOCH:-0}" --owner=0 --group=0 --numeric-owner -c "$name" |
		gzip -n -9 >"$folder/$name.tar.gz"
	rm -r "${folder:?}/$name"
done
cd "$folder" && sha256sum dex-*.tar.gz dex-*.cdx.json >SHA256SUMS
