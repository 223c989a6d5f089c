package oidc_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/oidc"
)

const (
	callbackURL    = "https://dex.test/callback"
	ownCallbackURL = callbackURL + "/oidc"
)

// object is a JSON object.
type object = map[string]any

// signingKey is the key of all providers, as RSA keys take long to make.
var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// A provider is an OpenID provider that says what the test wants.
type provider struct {
	t *testing.T
	*httptest.Server

	mu        sync.Mutex
	down      bool
	discovery object // over the usual
	idToken   object // over the usual; nil values remove claims
	userInfo  object
	answer    object // of the token endpoint, over the usual
	refuse    func(r *http.Request) (status int, code string)
	token     func(w http.ResponseWriter, r *http.Request) (answered bool) // before all that
	pushed    url.Values                                                   // of the last pushed request
	// refusePush returns the code by which a pushed request is refused; empty for none.
	refusePush func(url.Values) string
	kid        string // of the key that signs
	published  string // id of the key that is published
	alg        jose.SignatureAlgorithm
	nonce      string // of the login under way
	typ        string // of the header of tokens

	keys  []any                                        // instead of the usual
	info  func(w http.ResponseWriter, r *http.Request) // instead of userInfo
	knows object                                       // of the introspection endpoint
	log   bytes.Buffer

	asked map[string]int // requests by path
	form  url.Values     // of the last token request
	user  *url.Userinfo  // of the last token request
}

func newProvider(t *testing.T) *provider {
	p := &provider{t: t, asked: map[string]int{}, kid: "1", published: "1", alg: jose.RS256}
	mux := http.NewServeMux()
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked[r.URL.Path]++
		if p.down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	reply := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, merged(object{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/auth?own=1", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo", "introspection_endpoint": p.URL + "/introspect",
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		}, p.discovery))
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		if p.keys != nil {
			reply(w, http.StatusOK, object{"keys": p.keys})
			return
		}
		reply(w, http.StatusOK, object{"keys": []any{
			object{"kty": "future", "kid": "0"},
			jose.JSONWebKey{Key: signingKey().Public(), KeyID: p.published, Use: "sig"},
		}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		p.form, p.user = r.PostForm, nil
		if p.token != nil && p.token(w, r) {
			return
		}
		if name, password, ok := r.BasicAuth(); ok {
			p.user = url.UserPassword(name, password)
		}
		if p.refuse != nil {
			if status, code := p.refuse(r); code != "" {
				reply(w, status, object{"error": code, "error_description": "because"})
				return
			}
		}
		reply(w, http.StatusOK, merged(object{
			"access_token": "access", "token_type": "Bearer", "id_token": p.sign(p.idToken), "refresh_token": "refresh 1",
		}, p.answer))
	})
	mux.HandleFunc("/par", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		p.pushed = r.PostForm
		if p.refusePush != nil {
			if code := p.refusePush(r.PostForm); code != "" {
				reply(w, http.StatusBadRequest, object{"error": code})
				return
			}
		}
		reply(w, http.StatusCreated, object{"request_uri": "urn:pushed", "expires_in": 60})
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer unknown" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		if p.info != nil {
			p.info(w, r)
			return
		}
		reply(w, http.StatusOK, p.userInfo)
	})
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || name != "dex" || password != "secret" || r.PostFormValue("token") == "" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		reply(w, http.StatusOK, p.knows)
	})
	mux.HandleFunc("/claims", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer for claims" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		reply(w, http.StatusOK, object{"groups": []string{"many", "more"}})
	})
	return p
}

// merged returns an object with more in it; nil takes out.
func merged(base, more object) object {
	all := maps.Clone(base)
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

// sign returns an ID token with claims over the usual ones. The provider is locked.
func (p *provider) sign(more object) string {
	said := merged(object{
		"iss": p.URL, "aud": "dex", "sub": "sub-1", "name": "Jane", "email": "jane@example.com", "email_verified": true,
		"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": p.nonce,
	}, more)
	if nonce, ok := said["nonce"]; ok && nonce == "" {
		delete(said, "nonce")
	}
	var key any = signingKey()
	if p.alg == jose.HS256 {
		key = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: signingKey().N.Bytes()})
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: jose.JSONWebKey{Key: key, KeyID: p.kid}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(p.typ)))
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

// ca returns the provider's certificate, for rootCAs.
func (p *provider) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

// A connection is an opened connector.
type connection interface {
	connector.Callback
	connector.Refresher
	connector.TokenIdentity
	connector.Logout
	connector.Prober
	Close() error
}

// open opens a connector to the provider, with settings over the usual ones.
func (p *provider) open(more object) connection {
	p.t.Helper()
	settings, problems := decode(p.t, merged(object{
		"issuer": p.URL, "clientID": "dex", "clientSecret": "secret", "redirectURI": callbackURL, "rootCAs": []string{p.ca()},
	}, more))
	if err := problems.Err(); err != nil {
		p.t.Fatal(err)
	}
	instance, err := settings.Open(p.t.Context(), connector.Env{
		ID: "oidc", CallbackURL: callbackURL, OwnCallbackURL: ownCallbackURL, Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	c := instance.(connection)
	p.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return c
}

func decode(t *testing.T, settings object) (*oidc.Config, config.Problems) {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	section, err := config.SectionFromJSON("connector", text)
	if err != nil {
		t.Fatal(err)
	}
	var c oidc.Config
	return &c, section.Decode(&c)
}

// begin begins a login and returns the parameters that the provider gets.
func (p *provider) begin(c connection, r connector.LoginRequest) (url.Values, []byte) {
	p.t.Helper()
	r.CallbackURL, r.State = callbackURL, "the state"
	to, err := c.Begin(p.t.Context(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.nonce = u.Query().Get("nonce")
	return u.Query(), to.Data
}

// signIn goes to the provider and back.
func (p *provider) signIn(c connection) (connector.Identity, error) {
	p.t.Helper()
	_, data := p.begin(c, connector.LoginRequest{})
	return p.back(c, data, url.Values{"code": {"the code"}})
}

func (p *provider) back(c connection, data []byte, answer url.Values) (connector.Identity, error) {
	p.t.Helper()
	return c.HandleCallback(p.t.Context(), connector.Return{
		CallbackURL: callbackURL, State: "the state", Data: data, Request: httptest.NewRequest(http.MethodGet, callbackURL+"?"+answer.Encode(), nil),
	})
}
