package e2e

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A tokenIssuer is a platform that gives tokens to its jobs: an OpenID Connect provider where nobody logs in.
type tokenIssuer struct {
	server *httptest.Server
	signer jose.Signer
	keys   jose.JSONWebKeySet

	mu      sync.Mutex
	holders map[string]section // userinfo answers by access token
	jobs    map[string]section // claims of the job that may request its token, by the job's credential
}

func startTokenIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	key := jose.JSONWebKey{Key: newRSAKey(t), KeyID: rand.Text(), Algorithm: string(jose.RS256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &tokenIssuer{
		signer: signer, keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}},
		holders: map[string]section{}, jobs: map[string]section{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.metadata)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, i.keys) })
	mux.HandleFunc("GET /userinfo", i.userInfo)
	mux.HandleFunc("/job-token", i.jobToken)
	i.server = httptest.NewServer(mux)
	t.Cleanup(i.server.Close)
	return i
}

func (i *tokenIssuer) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, section{
		"issuer": i.server.URL, "jwks_uri": i.server.URL + "/keys", "userinfo_endpoint": i.server.URL + "/userinfo",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"},
	})
}

func (i *tokenIssuer) userInfo(w http.ResponseWriter, r *http.Request) {
	if said, ok := i.find(i.holders, r); ok {
		writeJSON(w, said)
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

// jobToken gives a job its token, for the requested audience, as GitHub Actions does.
func (i *tokenIssuer) jobToken(w http.ResponseWriter, r *http.Request) {
	claims, ok := i.find(i.jobs, r)
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims = maps.Clone(claims)
	if audience := r.URL.Query().Get("audience"); audience != "" {
		claims["aud"] = audience
	}
	token, err := i.sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, section{"count": len(token), "value": token})
}

// find returns the entry for a request's bearer token.
func (i *tokenIssuer) find(all map[string]section, r *http.Request) (section, bool) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	i.mu.Lock()
	defer i.mu.Unlock()
	found, ok := all[token]
	return found, ok && strings.EqualFold(kind, "bearer")
}

// admit makes an opaque access token for a userinfo answer.
func (i *tokenIssuer) admit(said section) (token string) {
	token = rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.holders[token] = said
	return token
}

// hire returns the credential with which a job gets a token with the claims.
func (i *tokenIssuer) hire(claims section) (shown string) {
	shown = rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jobs[shown] = claims
	return shown
}

// mint makes a token with claims. Like a job's, it is valid for five minutes unless the claims say otherwise.
func (i *tokenIssuer) mint(t *testing.T, claims section) string {
	t.Helper()
	token, err := i.sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *tokenIssuer) sign(claims section) (string, error) {
	now := time.Now()
	all := section{"iss": i.server.URL, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text()}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the caller has gone
}
