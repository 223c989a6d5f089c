#!/bin/sh
# Builds a Debian package into a folder, with dpkg-deb and without root:
#
#   VERSION=v1.0.0 deploy/debian/build.sh FOLDER [ARCHITECTURE]
#
# The architecture is Debian's name, such as amd64 or armhf; by default this machine's. The same source and version give the same
# bytes.
set -eu
umask 022
folder=$(mkdir -p "$1" && cd "$1" && pwd)
arch=${2:-$(dpkg --print-architecture)}
: "${VERSION:=DEV}" "${SOURCE_DATE_EPOCH:=0}"
export VERSION SOURCE_DATE_EPOCH
here=$(cd "$(dirname "$0")" && pwd)

case $arch in
amd64 | arm64 | s390x | riscv64) GOARCH=$arch ;;
armhf) GOARCH=arm GOARM=7 && export GOARM ;;
ppc64el) GOARCH=ppc64le ;;
*) echo "deploy/debian/build.sh: $arch is none of amd64, arm64, armhf, ppc64el, riscv64 and s390x" >&2 && exit 1 ;;
esac
export GOOS=linux GOARCH

# What isn't a release sorts before all releases.
case $VERSION in
v[0-9]*) version=$(echo "${VERSION#v}" | tr - +) ;;
*) version=0~$(echo "$VERSION" | tr - .) ;;
esac

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
"$here/../build.sh" "$root/built"
install -D -m 755 "$root/built/dex" "$root/usr/bin/dex"
install -D -m 644 "$root/built/dex.cdx.json" "$root/usr/share/doc/dex-idp/dex.cdx.json"
rm -r "$root/built"
install -D -m 640 "$here/config.yaml" "$root/etc/dex/config.yaml"
install -D -m 644 "$here/copyright" "$root/usr/share/doc/dex-idp/copyright"
gzip -n -9 <"$here/../../CHANGELOG.md" >"$root/usr/share/doc/dex-idp/changelog.gz"
mkdir -p "$root/usr/lib/systemd/system"
# Its first lines say how to install it by hand.
sed -e '1,/^\[Unit\]/{/^\[Unit\]/!d}' -e 's,/usr/local/bin/dex,/usr/bin/dex,' "$here/../systemd/dex.service" >"$root/usr/lib/systemd/system/dex.service"

mkdir "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "$here/$script" "$root/DEBIAN/$script"; done
echo /etc/dex/config.yaml >"$root/DEBIAN/conffiles"
size=$(find "$root" -path "$root/DEBIAN" -prune -o -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" "$here/control" >"$root/DEBIAN/control"
(cd "$root" && find etc usr -type f -not -path etc/dex/config.yaml | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
dpkg-deb --root-owner-group -Zgzip --build "$root" "$folder/dex-idp_${version}_$arch.deb"
