#!/bin/sh
# Starts an OpenLDAP server with the people in config-ldap.ldif, and runs it until it is stopped. Changes to the directory
# are then lost.
#
# LDAP_ADDRESS (127.0.0.1), LDAP_PORT (389) and LDAPS_PORT (636) say where it listens. Ports below 1024 may need root.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin
address=${LDAP_ADDRESS:-127.0.0.1}
ldap=${LDAP_PORT:-389}
ldaps=${LDAPS_PORT:-636}

for program in slapd slapadd openssl; do
	command -v "$program" >/dev/null || {
		echo "$program is missing; on Debian: apt-get install slapd openssl" >&2
		exit 1
	}
done

data=$(mktemp -d)
server=
# shellcheck disable=SC2329 # called by the trap
finish() {
	trap '' INT TERM
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	[ -z "$server" ] || wait "$server" || true
	rm -rf "$data"
}
trap finish EXIT
trap 'exit 0' INT TERM

# A certificate for localhost, and for ldap, the server's name in a container network. It is kept, so that clients trust the
# server after a restart too. Its authority's key is not: nobody can make another trusted certificate.
if ! openssl x509 -checkend 86400 -noout -in tls/ldap.pem >/dev/null 2>&1; then
	echo "making a certificate in $PWD/tls"
	mkdir -p tls
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 366 -subj "/CN=Authority of the LDAP example" \
		-addext "keyUsage = critical, keyCertSign" -keyout "$data/ca.key" -out tls/ca.pem 2>/dev/null
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
		-keyout tls/ldap.key -out "$data/ldap.csr" 2>/dev/null
	printf 'subjectAltName = DNS:localhost, DNS:ldap, IP:127.0.0.1\nextendedKeyUsage = serverAuth\nbasicConstraints = CA:FALSE\n' >"$data/ldap.ext"
	openssl x509 -req -days 365 -in "$data/ldap.csr" -CA tls/ca.pem -CAkey "$data/ca.key" -CAcreateserial -CAserial "$data/serial" \
		-extfile "$data/ldap.ext" -out tls/ldap.pem 2>/dev/null
	rm "$data/ca.key"
fi

mkdir "$data/db"
cp tls/ca.pem tls/ldap.pem tls/ldap.key "$data"
cat >"$data/slapd.conf" <<CONF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $data/slapd.pid
TLSCACertificateFile $data/ca.pem
TLSCertificateFile $data/ldap.pem
TLSCertificateKeyFile $data/ldap.key
TLSVerifyClient try
TLSProtocolMin 3.3

database mdb
directory $data/db
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin
index objectClass,mail,member eq
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
CONF
{
	printf 'dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n'
	cat config-ldap.ldif
} | slapadd -q -f "$data/slapd.conf"

# Root only opens the ports; the server runs as the package's user.
as=
if [ "$(id -u)" -eq 0 ] && id openldap >/dev/null 2>&1; then
	chown -R openldap:openldap "$data"
	as="-u openldap -g openldap"
fi
# shellcheck disable=SC2086 # two words, or none
slapd -d 0 -f "$data/slapd.conf" $as -h "ldap://$address:$ldap/ ldaps://$address:$ldaps/" &
server=$!
sleep 0.2
if kill -0 "$server" 2>/dev/null; then
	echo "OpenLDAP listens on $address, ports $ldap (LDAP) and $ldaps (LDAPS); stop it with Ctrl-C"
fi
wait "$server"
