package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/config"
	"dex/internal/faulttest"
	"dex/internal/relyingparty"
)

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// A key that the provider has withdrawn counted for up to an hour, and nobody could change that.
var _ = faulttest.Add("K7", func(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	decode := func(text string) (*Config, config.Problems) {
		var c Config
		section, err := config.SectionFromJSON("connector", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return &c, section.Decode(&c)
	}
	for setting, want := range map[string]time.Duration{"": time.Hour, `, "maxKeyAge": "5m"`: 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1"}}}
			c, problems := decode(`{"issuer": "https://idp.test", "clientID": "dex"` + setting + `}`)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			k := &relyingparty.Keys{MaxAge: c.maxKeyAge(), Client: &http.Client{Transport: transport(func(*http.Request) *http.Response {
				text, err := json.Marshal(published)
				if err != nil {
					t.Error(err)
				}
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(text)))}
			})}}
			verify := func() error {
				_, err := k.Verify(t.Context(), "https://idp.test/keys", token, relyingparty.Algorithms)
				return err
			}
			if err := verify(); err != nil {
				t.Fatal(err)
			}
			published.Keys = nil // withdrawn
			time.Sleep(want - time.Second)
			if err := verify(); err != nil {
				t.Errorf("%s: asked for too often: %v", setting, err)
			}
			time.Sleep(2 * time.Second)
			if err := verify(); err == nil {
				t.Errorf("%s: a withdrawn key counts for longer than %s", setting, want)
			}
		})
	}
	_, problems := decode(`{"issuer": "https://idp.test", "clientID": "dex", "maxKeyAge": "1s"}`)
	if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "maxKeyAge") {
		t.Errorf("too short: %v", problems)
	}
})
