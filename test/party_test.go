package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A party is an application in a browser that uses go-oidc. It can be told of logouts through either channel.
type party struct {
	*httptest.Server
	id string

	mu       sync.Mutex
	provider *oidc.Provider
	logins   map[string]partyLogin // under way, by state
	told     []toldLogout
	problems []string
	frames   []url.Values
	hangs    string // the session whose end it is told of in a frame that never loads
}

type partyLogin struct {
	nonce, pkce string
}

// A toldLogout is a verified logout token.
type toldLogout struct {
	*oidc.LogoutToken
	header map[string]any
	claims map[string]any
}

// startParty starts an application, before there is a server to sign in at.
func startParty(t *testing.T, id string) *party {
	t.Helper()
	p := &party{id: id, logins: map[string]partyLogin{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", p.login)
	mux.HandleFunc("GET /callback", p.callback)
	mux.HandleFunc("POST /backchannel", p.backChannel)
	mux.HandleFunc("GET /frontchannel", p.frontChannel)
	mux.HandleFunc("GET /bye", func(w http.ResponseWriter, r *http.Request) { p.show(w, "bye", r.URL.Query().Get("state")) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			t.Errorf("%s: %s", p.id, problem)
		}
	})
	return p
}

// client returns the application as a server knows it, with more settings.
func (p *party) client(more section) section {
	c := section{
		"id": p.id, "name": strings.ToUpper(p.id[:1]) + p.id[1:], "secret": p.id + "-secret",
		"redirectURIs": []string{p.URL + "/callback"}, "postLogoutRedirectURIs": []string{p.URL + "/bye"},
	}
	maps.Copy(c, more)
	return c
}

// of introduces the server to the application.
func (p *party) of(t *testing.T, d *dex) *party {
	t.Helper()
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(t.Context()), &http.Client{Transport: d.transport}), d.issuer)
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.provider = provider
	return p
}

func (p *party) config() oauth2.Config {
	return oauth2.Config{
		ClientID: p.id, ClientSecret: p.id + "-secret", RedirectURL: p.URL + "/callback", Endpoint: p.provider.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
}

// at returns the address where a login begins, with more parameters for the server.
func (p *party) at(pairs ...string) string { return p.URL + "/login?" + query(pairs...) }

func query(pairs ...string) string {
	params := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		params.Set(pairs[i], pairs[i+1])
	}
	return params.Encode()
}

func (p *party) login(w http.ResponseWriter, r *http.Request) {
	state, login := rand.Text(), partyLogin{rand.Text(), oauth2.GenerateVerifier()}
	p.mu.Lock()
	p.logins[state] = login
	config := p.config()
	p.mu.Unlock()
	options := []oauth2.AuthCodeOption{oidc.Nonce(login.nonce), oauth2.S256ChallengeOption(login.pkce)}
	for name, values := range r.URL.Query() {
		options = append(options, oauth2.SetAuthURLParam(name, values[0]))
	}
	http.Redirect(w, r, config.AuthCodeURL(state, options...), http.StatusFound)
}

func (p *party) callback(w http.ResponseWriter, r *http.Request) {
	answer := r.URL.Query()
	p.mu.Lock()
	login, known := p.logins[answer.Get("state")]
	delete(p.logins, answer.Get("state"))
	config := p.config()
	p.mu.Unlock()
	switch {
	case !known:
		p.show(w, "error", "unknown state")
		return
	case answer.Has("error"):
		p.show(w, "error", answer.Get("error"))
		return
	}
	tokens, err := config.Exchange(r.Context(), answer.Get("code"), oauth2.VerifierOption(login.pkce))
	if err != nil {
		p.show(w, "error", err.Error())
		return
	}
	raw, _ := tokens.Extra("id_token").(string)
	claims, err := p.verify(r.Context(), raw, login.nonce)
	if err != nil {
		p.show(w, "error", err.Error())
		return
	}
	p.show(w, "claims", string(claims), "id-token", raw, "refresh-token", tokens.RefreshToken)
}

func (p *party) verify(ctx context.Context, idToken, nonce string) (claims json.RawMessage, err error) {
	verified, err := p.verifier().Verify(ctx, idToken)
	if err != nil {
		return nil, err
	}
	if verified.Nonce != nonce {
		return nil, fmt.Errorf("nonce %q, want %q", verified.Nonce, nonce)
	}
	return claims, verified.Claims(&claims)
}

func (p *party) verifier() *oidc.IDTokenVerifier {
	return p.provider.Verifier(&oidc.Config{ClientID: p.id})
}

// show answers with a page of elements, given by id and text.
func (p *party) show(w http.ResponseWriter, elements ...string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, `<!DOCTYPE html><html lang=en><title>%s</title><link rel=icon href="data:,">`, p.id)
	for i := 0; i < len(elements); i += 2 {
		_, _ = fmt.Fprintf(w, "<pre id=%s>%s</pre>", elements[i], html.EscapeString(elements[i+1]))
	}
}

func (p *party) backChannel(w http.ResponseWriter, r *http.Request) {
	raw := r.PostFormValue("logout_token")
	token, err := p.verifier().VerifyLogout(r.Context(), raw)
	told := toldLogout{LogoutToken: token}
	if err == nil {
		err = token.Claims(&told.claims)
	}
	if err == nil {
		header, _, _ := strings.Cut(raw, ".")
		var text []byte
		if text, err = base64.RawURLEncoding.DecodeString(header); err == nil {
			err = json.Unmarshal(text, &told.header)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.problems = append(p.problems, "logout token: "+err.Error())
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	p.told = append(p.told, told)
}

func (p *party) frontChannel(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.frames = append(p.frames, r.URL.Query())
	hangs := p.hangs == r.URL.Query().Get("sid")
	p.mu.Unlock()
	if hangs {
		<-r.Context().Done() // the browser gives up
		return
	}
	p.show(w, "bye", "")
}

// wantTold waits until the application has been told of the end of a session through the back channel, once.
func (p *party) wantTold(t *testing.T, issuer, subject, sessionID string) {
	t.Helper()
	var of []toldLogout
	eventually(t, patience, p.id+" is told of the logout", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		of = nil
		for _, told := range p.told {
			if told.SessionID == sessionID {
				of = append(of, told)
			}
		}
		return len(of) > 0
	})
	told := of[0]
	if len(of) > 1 || told.Subject != subject || told.Issuer != issuer || told.TokenID == "" {
		t.Errorf("%s is told %d times: %v, want the end of %s's session", p.id, len(of), told.claims, subject)
	}
	if told.header["typ"] != "logout+jwt" || told.claims["nonce"] != nil {
		t.Errorf("%s gets a token with the header %v and the claims %v", p.id, told.header, told.claims)
	}
}

// wantNotTold checks that the application knows nothing of the end of a session.
func (p *party) wantNotTold(t *testing.T, sessionID string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, told := range p.told {
		if told.SessionID == sessionID {
			t.Errorf("%s is told of the end of another session: %v", p.id, told.claims)
		}
	}
}

// wantFrame checks that the application was shown in one frame, and told of the end of a session there.
func (p *party) wantFrame(t *testing.T, issuer, sessionID string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := 0
	for _, query := range p.frames {
		if query.Get("sid") == sessionID && query.Get("iss") == issuer {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%s is shown in %d frames for the end of the session %s: %v", p.id, seen, sessionID, p.frames)
	}
}

// idClaims are claims of an ID token that applications show.
type idClaims struct {
	Subject  string `json:"sub"`
	Session  string `json:"sid"`
	AuthTime int64  `json:"auth_time"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// claims waits until an application shows the claims of its user.
func (b *tab) claims() idClaims {
	b.t.Helper()
	var c idClaims
	if err := json.Unmarshal([]byte(b.text("#claims")), &c); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// wantAnswer opens an address that leads to an application at once, with an error.
func (b *tab) wantAnswer(address, want string) {
	b.t.Helper()
	b.open(address)
	b.wantText("#error", want)
}
