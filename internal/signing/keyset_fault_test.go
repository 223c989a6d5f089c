package signing

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/faulttest"
)

// A key signs with its own algorithm only, whatever the header says and other keys are for.
var _ = faulttest.Add("T-keyset-143", func(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &published{
		keys:       map[string]jose.JSONWebKey{"k": {Key: private.Public(), KeyID: "k", Algorithm: RS256}},
		algorithms: []jose.SignatureAlgorithm{jose.RS256, jose.RS512},
	}
	for algorithm, good := range map[jose.SignatureAlgorithm]bool{jose.RS256: true, jose.RS512: false} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.verify(token); errors.Is(err, ErrBadToken) == good || good && err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
})
