// Command provider is an OpenID Connect provider built on the library fosite, so that neither its code nor its reading of the
// standards is ours. It signs everybody in as jane without asking. It requires PKCE and the client's secret in the body, and
// its refresh tokens can be used once: reuse ends the login. It is a separate module because its dependencies would hold back
// those of the tests.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	listen := flag.String("listen", "", "host:port to serve HTTPS on")
	certFile := flag.String("cert", "", "certificate of the server")
	keyFile := flag.String("key", "", "key of the server")
	clientID := flag.String("client-id", "", "the one client")
	clientSecret := flag.String("client-secret", "", "its secret")
	callback := flag.String("callback", "", "its redirect URI")
	flag.Parse()
	p, err := newProvider("https://"+*listen, *clientID, *clientSecret, *callback)
	if err == nil {
		server := &http.Server{Addr: *listen, Handler: p.handler(), ReadHeaderTimeout: time.Minute}
		err = server.ListenAndServeTLS(*certFile, *keyFile)
	}
	fmt.Fprintln(os.Stderr, "provider:", err)
	os.Exit(1)
}

type provider struct {
	fosite.OAuth2Provider
	issuer string
	keys   jose.JSONWebKeySet

	mu    sync.Mutex
	given []string // refresh tokens, the newest last
}

func newProvider(issuer, clientID, clientSecret, callback string) (*provider, error) {
	const rsaBits = 2048
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(clientSecret), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	store := storage.NewMemoryStore()
	store.Clients[clientID] = &fosite.DefaultOpenIDConnectClient{
		TokenEndpointAuthMethod: "client_secret_post",
		DefaultClient: &fosite.DefaultClient{
			ID: clientID, Secret: hash, RedirectURIs: []string{callback}, ResponseTypes: []string{"code"},
			GrantTypes: []string{"authorization_code", "refresh_token"},
			Scopes:     scopes,
		},
	}
	const secretSize = 32 // bytes, as fosite requires
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	config := &fosite.Config{
		GlobalSecret: secret, IDTokenIssuer: issuer, EnforcePKCE: true, RefreshTokenScopes: []string{"offline_access"},
	}
	signingKey := func(context.Context) (any, error) { return key, nil }
	strategy := &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(signingKey, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: signingKey},
	}
	return &provider{
		issuer: issuer,
		keys:   jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: "RS256", Use: "sig", KeyID: "only"}}},
		OAuth2Provider: compose.Compose(config, store, strategy,
			compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory, compose.OAuth2PKCEFactory,
			compose.OpenIDConnectExplicitFactory, compose.OpenIDConnectRefreshFactory, compose.OAuth2TokenIntrospectionFactory),
	}, nil
}

var scopes = []string{"openid", "profile", "email", "groups", "offline_access"}

func (p *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.metadata)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.keys) })
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /me", p.userInfo)
	mux.HandleFunc("GET /given", p.showGiven)
	return mux
}

func (p *provider) metadata(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
		"jwks_uri": p.issuer + "/keys", "userinfo_endpoint": p.issuer + "/me", "scopes_supported": scopes,
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
	})
}

// authorize logs jane in, and consents for her.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.NewAuthorizeRequest(ctx, r)
	if err != nil {
		p.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := p.NewAuthorizeResponse(ctx, request, jane())
	if err != nil {
		p.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	p.WriteAuthorizeResponse(ctx, w, request, response)
}

func jane() *openid.DefaultSession {
	now := time.Now().UTC()
	return &openid.DefaultSession{
		Subject: "jane", Username: "jane", Headers: &jwt.Headers{},
		Claims: &jwt.IDTokenClaims{
			Subject: "jane", AuthTime: now, RequestedAt: now,
			Extra: map[string]any{
				"name": "Jane Doe", "preferred_username": "jane", "email": "jane@example.org", "email_verified": true,
				"groups": []string{"staff", "admins"},
			},
		},
	}
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.NewAccessRequest(ctx, r, &openid.DefaultSession{})
	if err != nil {
		p.WriteAccessError(ctx, w, request, err)
		return
	}
	response, err := p.NewAccessResponse(ctx, request)
	if err != nil {
		p.WriteAccessError(ctx, w, request, err)
		return
	}
	if token, ok := response.GetExtra("refresh_token").(string); ok {
		p.mu.Lock()
		p.given = append(p.given, token)
		p.mu.Unlock()
	}
	p.WriteAccessResponse(ctx, w, request, response)
}

func (p *provider) userInfo(w http.ResponseWriter, r *http.Request) {
	_, request, err := p.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, &openid.DefaultSession{})
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, map[string]any{"sub": request.GetSession().GetSubject()})
}

// showGiven shows all refresh tokens, for tests that play the thief.
func (p *provider) showGiven(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer(w, p.given)
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Print(err)
	}
}
