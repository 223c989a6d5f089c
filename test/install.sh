#!/bin/sh
# Installs what the tests need besides Go: a browser, the servers that storages and connectors are tested against, and
# Node.js for an independent client. Does nothing if everything is installed.
set -eu

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -f /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || missing="$missing fonts-dejavu-core" # pages are measured and pictured in it
command -v gcc >/dev/null 2>&1 || missing="$missing gcc libc6-dev" # the race detector links with cgo
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
command -v mariadbd >/dev/null 2>&1 || missing="$missing mariadb-server"
ls /usr/lib/galera/libgalera_smm.so >/dev/null 2>&1 || missing="$missing galera-4"
command -v rsync >/dev/null 2>&1 || missing="$missing rsync" # copies the first server of a cluster to the others
command -v ss >/dev/null 2>&1 || missing="$missing iproute2"
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v etcd >/dev/null 2>&1 || missing="$missing etcd-server"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
[ -x /usr/sbin/slapd ] || missing="$missing slapd"
command -v ldapsearch >/dev/null 2>&1 || missing="$missing ldap-utils"
[ -x /usr/sbin/krb5kdc ] || missing="$missing krb5-kdc"
[ -x /usr/sbin/kadmin.local ] || missing="$missing krb5-admin-server"
command -v kinit >/dev/null 2>&1 || missing="$missing krb5-user"
# Since Debian 13 the domain controller and its tool are separate packages.
release=$(sed -n 's/^VERSION_ID="\([0-9]*\).*/\1/p' /etc/os-release)
if [ "${release:-0}" -ge 13 ]; then
	[ -x /usr/sbin/samba ] || missing="$missing samba-ad-dc"
	command -v samba-tool >/dev/null 2>&1 || missing="$missing python3-samba"
else
	command -v samba-tool >/dev/null 2>&1 || missing="$missing samba"
fi
[ -d /usr/share/samba/setup ] || missing="$missing samba-ad-provision samba-dsdb-modules samba-vfs-modules winbind"
[ -d /usr/lib/python3/dist-packages/saml2 ] || missing="$missing python3-pysaml2"
[ -d /usr/lib/python3/dist-packages/aiosmtpd ] || missing="$missing python3-aiosmtpd"
command -v xmlsec1 >/dev/null 2>&1 || missing="$missing xmlsec1"
[ -x /usr/sbin/rsyslogd ] || missing="$missing rsyslog"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
[ -x /usr/sbin/nginx ] || missing="$missing nginx"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v jq >/dev/null 2>&1 || missing="$missing jq"
command -v oathtool >/dev/null 2>&1 || missing="$missing oathtool"     # an authenticator app
command -v zbarimg >/dev/null 2>&1 || missing="$missing zbar-tools" # reads QR codes

# The Debian package is installed in a copy of the system.
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
[ -x /usr/sbin/adduser ] || missing="$missing adduser"

[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "make test needs these Debian packages:$missing" >&2
	echo "install them as root: apt-get install$missing" >&2
	exit 1
fi

# Keep the packages from starting their servers: the tests start their own. An existing policy is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words on purpose
apt-get install -y -qq --no-install-recommends $missing
