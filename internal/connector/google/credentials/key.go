package credentials

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/relyingparty"
)

// A key is a service account whose private key we have.
type key struct {
	env     *Env
	account string
	at      string // the token endpoint; empty for Google's
	signer  jose.Signer
}

// newKey parses the private key, in PEM.
func newKey(env *Env, f *file) (*key, error) {
	if f.ClientEmail == "" {
		return nil, errors.New("client_email is missing")
	}
	if err := f.checkTokenURI(); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(f.PrivateKey))
	if block == nil {
		return nil, errors.New("private_key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("private_key is no RSA key")
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: f.PrivateKeyID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	return &key{env: env, account: f.ClientEmail, at: f.TokenURI, signer: signer}, nil
}

func (k *key) token(ctx context.Context, scope string) (*relyingparty.Tokens, error) {
	return k.env.asserted(ctx, k, question{scope: scope})
}

func (k *key) email(context.Context) (string, error) { return k.account, nil }

func (k *key) sign(_ context.Context, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := k.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (k *key) tokenURL(ctx context.Context) (string, error) {
	if k.at != "" {
		return k.at, nil
	}
	return k.env.TokenURL(ctx)
}
