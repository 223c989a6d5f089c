// Package connectortest has a provider for tests of connectors: one that speaks OAuth 2.0 and OpenID Connect, and says what the
// test wants.
package connectortest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Object is a JSON object.
type Object = map[string]any

// SigningKey is the key of all providers, as RSA keys take long to make.
var SigningKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// A Provider is a server that signs everybody in as sub-1. What it knows, says and was asked may be changed and read between
// requests, and during them with Mu held, which each request holds.
type Provider struct {
	*httptest.Server
	t *testing.T

	Mu        sync.Mutex
	Down      bool   // answer everything by 502
	Discovery Object // over the usual metadata
	Answer    Object // of the token endpoint, over the usual
	// Token answers a token request before everything else, and reports whether it has.
	Token func(w http.ResponseWriter, r *http.Request) (answered bool)
	// Refuse returns how a token request is refused; no code for not at all.
	Refuse func(r *http.Request) (status int, code string)
	// RefusePush returns the code by which a pushed request is refused; empty for none.
	RefusePush func(url.Values) string

	IDToken   Object // over the usual claims; nil values remove some
	Nonce     string // of the login under way
	Algorithm jose.SignatureAlgorithm
	KeyID     string // of the key that signs
	TokenType string // in the header of ID tokens
	Published string // the id of the key that is published
	Keys      []any  // published instead

	UserInfo any                                          // what the endpoint says, in JSON
	Info     func(w http.ResponseWriter, r *http.Request) // instead of UserInfo
	Knows    Object                                       // what the introspection endpoint says

	Asked   map[string]int    // requests by path
	Queries map[string]string // of the last ones, by path
	Form    url.Values        // of the last token request
	User    *url.Userinfo     // who made it, by Basic authentication; nil for none
	Pushed  url.Values        // of the last pushed request
	Shown   string            // the Authorization of the last request for userinfo
}

// New starts a provider.
func New(t *testing.T) *Provider {
	p := newProvider(t)
	p.Server = httptest.NewServer(p.handler())
	t.Cleanup(p.Close)
	return p
}

// NewTLS starts a provider whose certificate is that of CA.
func NewTLS(t *testing.T) *Provider {
	p := newProvider(t)
	p.Server = httptest.NewTLSServer(p.handler())
	t.Cleanup(p.Close)
	return p
}

func newProvider(t *testing.T) *Provider {
	return &Provider{t: t, Asked: map[string]int{}, Queries: map[string]string{}, KeyID: "1", Published: "1", Algorithm: jose.RS256}
}

func (p *Provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", p.serveMetadata)
	mux.HandleFunc("/keys", p.serveKeys)
	mux.HandleFunc("/token", p.serveToken)
	mux.HandleFunc("/par", p.servePushed)
	mux.HandleFunc("/userinfo", p.serveUserInfo)
	mux.HandleFunc("/introspect", p.serveIntrospection)
	mux.HandleFunc("/claims", p.serveClaims)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Mu.Lock()
		defer p.Mu.Unlock()
		p.Asked[r.URL.Path]++
		p.Queries[r.URL.Path] = r.URL.RawQuery
		if p.Down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (p *Provider) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

func (p *Provider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	p.reply(w, http.StatusOK, Merged(Object{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth?own=1", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo", "introspection_endpoint": p.URL + "/introspect",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
	}, p.Discovery))
}

func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	keys := p.Keys
	if keys == nil {
		keys = []any{Object{"kty": "future", "kid": "0"}, jose.JSONWebKey{Key: SigningKey().Public(), KeyID: p.Published, Use: "sig"}}
	}
	p.reply(w, http.StatusOK, Object{"keys": keys})
}

func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.t.Error(err)
	}
	p.Form, p.User = r.PostForm, nil
	if p.Token != nil && p.Token(w, r) {
		return
	}
	if name, password, ok := r.BasicAuth(); ok {
		p.User = url.UserPassword(name, password)
	}
	if p.Refuse != nil {
		if status, code := p.Refuse(r); code != "" {
			p.reply(w, status, Object{"error": code, "error_description": "because"})
			return
		}
	}
	p.reply(w, http.StatusOK, Merged(Object{
		"access_token": "access", "token_type": "Bearer", "id_token": p.Sign(p.IDToken), "refresh_token": "refresh 1",
	}, p.Answer))
}

func (p *Provider) servePushed(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.t.Error(err)
	}
	p.Pushed = r.PostForm
	if p.RefusePush != nil {
		if code := p.RefusePush(r.PostForm); code != "" {
			p.reply(w, http.StatusBadRequest, Object{"error": code})
			return
		}
	}
	p.reply(w, http.StatusCreated, Object{"request_uri": "urn:pushed", "expires_in": 60})
}

func (p *Provider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	p.Shown = r.Header.Get("Authorization")
	switch {
	case p.Shown == "Bearer unknown":
		http.Error(w, "who?", http.StatusUnauthorized)
	case p.Info != nil:
		p.Info(w, r)
	default:
		p.reply(w, http.StatusOK, p.UserInfo)
	}
}

func (p *Provider) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	if name, password, ok := r.BasicAuth(); !ok || name != "dex" || password != "secret" || r.PostFormValue("token") == "" {
		http.Error(w, "who?", http.StatusUnauthorized)
		return
	}
	p.reply(w, http.StatusOK, p.Knows)
}

// serveClaims has claims that the provider keeps elsewhere.
func (p *Provider) serveClaims(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer for claims" {
		http.Error(w, "who?", http.StatusUnauthorized)
		return
	}
	p.reply(w, http.StatusOK, Object{"groups": []string{"many", "more"}})
}

// Merged returns an object with more in it; nil takes out.
func Merged(base, more Object) Object {
	all := maps.Clone(base)
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

// Sign returns an ID token with claims over the usual ones.
func (p *Provider) Sign(more Object) string {
	said := Merged(Object{
		"iss": p.URL, "aud": "dex", "sub": "sub-1", "name": "Jane", "email": "jane@example.com", "email_verified": true,
		"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": p.Nonce,
	}, more)
	if nonce, ok := said["nonce"]; ok && nonce == "" {
		delete(said, "nonce")
	}
	return p.signed(said)
}

// SignLogout returns a logout token with claims over the usual ones.
func (p *Provider) SignLogout(more Object) string {
	return p.signed(Merged(Object{
		"iss": p.URL, "aud": "dex", "sub": "sub-1", "sid": "session-1", "jti": rand.Text(),
		"exp": time.Now().Add(2 * time.Minute).Unix(), "iat": time.Now().Unix(),
		"events": Object{"http://schemas.openid.net/event/backchannel-logout": Object{}},
	}, more))
}

func (p *Provider) signed(said Object) string {
	var key any = SigningKey()
	if p.Algorithm == jose.HS256 {
		key = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: SigningKey().N.Bytes()})
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.Algorithm, Key: jose.JSONWebKey{Key: key, KeyID: p.KeyID}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(p.TokenType)))
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(said)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// CA returns the provider's certificate, for rootCAs.
func (p *Provider) CA() string { return certificatePEM(p.Server) }

func certificatePEM(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}
