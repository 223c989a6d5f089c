package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	testClient = "example-app"
	testSecret = "ZXhhbXBsZS1hcHAtc2VjcmV0"
)

// fakeProvider is an OpenID Connect provider that approves every sign-in.
// The functions change what it does; set them before use.
type fakeProvider struct {
	*httptest.Server
	key *rsa.PrivateKey

	editDiscovery func(map[string]any)
	// editResponse changes the parameters of the authorization response.
	editResponse func(url.Values)
	// editClaims changes the claims of an ID token.
	editClaims func(claims map[string]any)
	// editTokens changes the token response.
	editTokens func(response map[string]any)
	// token, if set, replaces the token endpoint.
	token http.HandlerFunc

	mu       sync.Mutex
	serial   int
	requests map[string]url.Values // authorization requests by code
	refresh  map[string]url.Values // and by refresh token, each good for one use
	asked    url.Values            // the latest authorization request
	redeemed url.Values            // the latest token request
	checks   int                   // silent requests
	// silent is the error that answers silent requests; empty for none.
	silent string
}

// testKey signs for all fake providers: making one takes a while.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newFakeProvider(t *testing.T) *fakeProvider {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeProvider{key: key, requests: map[string]url.Values{}, refresh: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dex/.well-known/openid-configuration", f.serveDiscovery)
	mux.HandleFunc("GET /dex/keys", f.serveKeys)
	mux.HandleFunc("GET /dex/auth", f.serveAuth)
	mux.HandleFunc("POST /dex/token", f.serveToken)
	mux.HandleFunc("GET /dex/userinfo", f.serveUserInfo)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeProvider) issuer() string { return f.URL + "/dex" }

func (f *fakeProvider) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer":                                         f.issuer(),
		"authorization_endpoint":                         f.issuer() + "/auth",
		"token_endpoint":                                 f.issuer() + "/token",
		"jwks_uri":                                       f.issuer() + "/keys",
		"userinfo_endpoint":                              f.issuer() + "/userinfo",
		"end_session_endpoint":                           f.issuer() + "/logout",
		"scopes_supported":                               []string{"openid", "email", "groups", "profile", "offline_access"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"authorization_response_iss_parameter_supported": true,
	}
	if f.editDiscovery != nil {
		f.editDiscovery(document)
	}
	writeJSON(w, http.StatusOK, document)
}

func (f *fakeProvider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: f.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
}

func (f *fakeProvider) serveAuth(w http.ResponseWriter, r *http.Request) {
	request := r.URL.Query()
	f.mu.Lock()
	code := f.next("code")
	f.requests[code] = request
	f.asked = request
	refusal := ""
	if request.Get("prompt") == "none" {
		f.checks++
		refusal = f.silent
	}
	f.mu.Unlock()

	response := url.Values{"code": {code}, "state": {request.Get("state")}, "iss": {f.issuer()}}
	if refusal != "" {
		response.Del("code")
		response.Set("error", refusal)
	}
	if f.editResponse != nil {
		f.editResponse(response)
	}
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+response.Encode(), http.StatusFound)
}

func (f *fakeProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	if f.token != nil {
		f.token(w, r)
		return
	}
	if id, secret, _ := r.BasicAuth(); id != testClient || secret != testSecret {
		writeOAuthError(w, "invalid_client", "wrong credentials")
		return
	}
	if err := r.ParseForm(); err != nil {
		writeOAuthError(w, "invalid_request", "unreadable form")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.redeemed = r.PostForm
	request := f.redeem(r.PostForm)
	if request == nil {
		writeOAuthError(w, "invalid_grant", "unknown, spent or wrongly proven")
		return
	}
	response := f.tokenResponse(request)
	if f.editTokens != nil {
		f.editTokens(response)
	}
	writeJSON(w, http.StatusOK, response)
}

// redeem finds the authorization request for a grant, and invalidates the
// grant. It needs f.mu held.
func (f *fakeProvider) redeem(form url.Values) url.Values {
	if form.Get("grant_type") == "refresh_token" {
		request := f.refresh[form.Get("refresh_token")]
		delete(f.refresh, form.Get("refresh_token"))
		return request
	}
	request := f.requests[form.Get("code")]
	delete(f.requests, form.Get("code"))
	if challenge := request.Get("code_challenge"); challenge != "" && challenge != s256(form.Get("code_verifier")) {
		return nil
	}
	return request
}

// tokenResponse needs f.mu held.
func (f *fakeProvider) tokenResponse(request url.Values) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": f.issuer(), "aud": testClient, "sub": "CgVqYW5lEgRtb2Nr", "nonce": request.Get("nonce"),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(), "sid": "session-1",
		"name": "Jane Doe", "email": "jane@example.com", "email_verified": true,
		"groups": []string{"authors", "team-a/admins"},
	}
	if f.editClaims != nil {
		f.editClaims(claims)
	}
	accessClaims := maps.Clone(claims)
	accessClaims["jti"] = f.next("access")
	response := map[string]any{
		"token_type": "bearer", "expires_in": 3600,
		"access_token": f.sign(accessClaims),
		"id_token":     f.sign(claims),
	}
	if strings.Contains(request.Get("scope"), "offline_access") || request.Get("access_type") == "offline" {
		refresh := f.next("refresh")
		f.refresh[refresh] = request
		response["refresh_token"] = refresh
	}
	return response
}

func (f *fakeProvider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	parsed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	claims, err := parsed.Verify(f.key.Public())
	if err != nil {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(claims)
}

func (f *fakeProvider) sign(claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "unmarshalable: " + err.Error()
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: f.key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "unsigned: " + err.Error()
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "unsigned: " + err.Error()
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		return "unsigned: " + err.Error()
	}
	return compact
}

// next needs f.mu held.
func (f *fakeProvider) next(kind string) string {
	f.serial++
	return fmt.Sprintf("%s-%d", kind, f.serial)
}

// lastRequests returns the parameters of the latest authorization request and
// the latest token request.
func (f *fakeProvider) lastRequests() (asked, redeemed url.Values) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.redeemed
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// halfHash is the at_hash of an access token in an RS256 ID token.
func halfHash(accessToken string) string {
	hash := crypto.SHA256.New()
	hash.Write([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:16])
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func writeOAuthError(w http.ResponseWriter, code, description string) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}
