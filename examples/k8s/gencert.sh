#!/bin/sh
# Makes, in the folder ssl, a certificate for Dex and the authority that has issued it:
#
#   ca.pem    the authority's certificate: for the API server, kubelogin and whatever else talks to Dex
#   ca-key.pem  its key: whoever has it can impersonate Dex, so keep it elsewhere
#   cert.pem  Dex's certificate, valid for a year
#   key.pem   its key
#
# An authority that is there already is kept, so running it again renews the certificate, and nobody has to trust anything new.
set -eu
umask 077

# What clients call Dex, each with DNS: or IP: before it, and commas between them.
names="DNS:dex.example.com"

mkdir -p ssl
cd ssl

if [ ! -e ca-key.pem ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256 -nodes -days 3650 -subj "/CN=dex-ca" \
		-addext "keyUsage = critical, keyCertSign, cRLSign" -keyout ca-key.pem -out ca.pem
fi

cat >req.cnf <<EOF
[req]
distinguished_name = req_distinguished_name
[req_distinguished_name]
[v3_req]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $names
EOF

openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha256 -nodes -subj "/CN=dex" -config req.cnf -keyout key.pem -out csr.pem
openssl x509 -req -sha256 -days 365 -in csr.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
	-extfile req.cnf -extensions v3_req -out cert.pem
chmod 644 ca.pem cert.pem
