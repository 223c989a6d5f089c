package saml_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"
)

// An authority can sign.
type authority struct {
	key         crypto.Signer
	certificate *x509.Certificate
}

// people are the key holders in these tests.
type people struct {
	provider authority // the one that is configured
	elliptic authority // a provider with an ECDSA key
	next     authority // the provider after its key is replaced
	stranger authority
	expired  authority
	service  *rsa.PrivateKey // that assertions are encrypted for
}

// everyone makes the keys once: that takes longer than everything else.
var everyone = sync.OnceValues(func() (*people, error) {
	var p people
	var err error
	issue := func(name string, key crypto.Signer, until time.Time) (made authority) {
		if err == nil {
			made, err = newAuthority(name, key, until)
		}
		return made
	}
	rsaKey := func(bits int) (key *rsa.PrivateKey) {
		if err == nil {
			key, err = rsa.GenerateKey(rand.Reader, bits)
		}
		return key
	}
	curveKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	later := now.AddDate(100, 0, 0)
	p.service = rsaKey(2048)
	p.provider = issue("provider", rsaKey(2048), later)
	p.next = issue("next", rsaKey(2048), later)
	p.stranger = issue("stranger", rsaKey(2048), later)
	p.expired = issue("expired", rsaKey(2048), now.Add(-time.Minute))
	p.elliptic = issue("elliptic", curveKey, later)
	return &p, err
})

func newPeople(t testing.TB) *people {
	t.Helper()
	p, err := everyone()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newAuthority(name string, key crypto.Signer, until time.Time) (authority, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.AddDate(-5, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return authority{key: key, certificate: certificate}, err
}

func newShortAuthority(t testing.TB) authority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 768)
	if err != nil {
		t.Fatal(err)
	}
	made, err := newAuthority("short", key, now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return made
}
