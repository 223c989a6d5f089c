package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"dex/internal/app"
	"dex/internal/connector"
	"dex/internal/factor"
	"dex/internal/factor/factortest"
	"dex/internal/identity"
	"dex/internal/store"
)

// A crowd is a source of many users: whoever gives a name is that user, by the password p or by a round trip. It says how they have
// signed in, and takes no time, unlike our own database.
type crowd struct {
	methods []string // RFC 8176
	trips   bool     // they are sent away, instead of giving a password
}

func (c *crowd) AsksPassword() bool { return !c.trips }

func (c *crowd) Open(context.Context, connector.Env) (any, error) {
	if c.trips {
		return crowdAbroad{crowdKnown{c}}, nil
	}
	return crowdHere{crowdKnown{c}}, nil
}

type crowdKnown struct{ *crowd }

func (c crowdKnown) user(name string) connector.Identity {
	return connector.Identity{
		UserID: name, Username: name, PreferredUsername: name, Email: name + "@crowd.test", EmailVerified: true, Methods: c.methods,
	}
}

func (crowdKnown) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	return id, nil
}

type crowdHere struct{ crowdKnown }

func (crowdHere) Prompt() string { return "" }

func (c crowdHere) Login(_ context.Context, _ connector.Scopes, name, word string) (connector.Identity, bool, error) {
	return c.user(name), word == "p", nil
}

type crowdAbroad struct{ crowdKnown }

// Begin implements connector.Callback. Users go by the hint of the application.
func (crowdAbroad) Begin(_ context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	name := r.LoginHint
	if name == "" {
		name = "ann"
	}
	return connector.Redirect{URL: r.CallbackURL + "?" + url.Values{"state": {r.State}, "name": {name}}.Encode()}, nil
}

func (c crowdAbroad) HandleCallback(_ context.Context, r connector.Return) (connector.Identity, error) {
	return c.user(r.Request.URL.Query().Get("name")), nil
}

func (c crowdAbroad) TokenIdentity(_ context.Context, _ connector.Scopes, t connector.SubjectToken) (connector.Identity, error) {
	return c.user(t.Token), nil
}

// inCrowd is a configuration in which the crowd signs in to shop, which asks for the chain that is put into it, and till, which has none.
const inCrowd = `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
sessions: {ssoSharedWithDefault: all}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: crowd, name: Crowd, config: {username: u, password: p}}
- {type: mockCallback, id: abroad, name: Abroad}
staticClients:
- {id: shop, secret: shop-secret, name: Shop, redirectURIs: ["https://shop.test/cb"], mfaChain: [%s]}
- {id: till, secret: till-secret, name: Till, redirectURIs: ["https://till.test/cb"]}
mfa:
  authenticators:
  - {id: otp, type: TOTP, config: {issuer: Example}}
  - {id: key, type: WebAuthn, config: {}}
  - {id: either, type: AnyOf, config: {authenticators: [otp, key]}}
`

// A crowded is a server of the crowd, and its storage.
type crowded struct {
	*server
	core  *app.Core
	store store.Store
	log   *lockedBuffer
}

// startCrowd runs inCrowd with the chain of the shop and more settings of mfa, on a storage if one is given.
func startCrowd(t testing.TB, chain, mfa string, on store.Store) *crowded {
	t.Helper()
	return openCrowd(t, fmt.Sprintf(inCrowd, chain)+mfa, on, &crowd{}, &crowd{trips: true})
}

func openCrowd(t testing.TB, yaml string, on store.Store, sources ...*crowd) *crowded {
	t.Helper()
	byID := map[string]connector.Config{}
	for _, c := range sources {
		id := "crowd"
		if c.trips {
			id = "abroad"
		}
		byID[id] = c
	}
	return openSources(t, yaml, on, byID)
}

// openSources runs a configuration whose connectors with these ids have other sources.
func openSources(t testing.TB, yaml string, on store.Store, sources map[string]connector.Config) *crowded {
	t.Helper()
	plan := planOf(t, yaml)
	for id, c := range sources {
		plan.ReplaceConnector(id, c)
	}
	s := &crowded{log: &lockedBuffer{}}
	var err error
	s.core, err = app.New(t.Context(), plan, app.Options{
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
		WrapStore: func(own store.Store) store.Store {
			if on != nil {
				own = borrowed{on}
			}
			s.store = own
			return own
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.core.Close(); err != nil {
			t.Error(err)
		}
	})
	s.server = &server{t: t, handler: s.core.Handler()}
	return s
}

// enter signs in to a client as one of the crowd, in a login of its own, and returns what follows the password.
func (b *browser) enter(client, name string, pairs ...string) answer {
	b.t.Helper()
	form := b.visit(to(client, append([]string{"connector_id", "crowd", "scope", "openid offline_access"}, pairs...)...)).wantStatus(http.StatusFound)
	return b.post(form.path(), url.Values{"login": {name}, "password": {"p"}})
}

// at returns the path that an answer leads to, which must be one of ours that begins so.
func (a answer) at(prefix string) string {
	a.t.Helper()
	a.wantStatus(http.StatusSeeOther)
	if to := a.header.Get("Location"); !strings.HasPrefix(to, "/dex"+prefix) {
		a.t.Fatalf("led to %s, not to %s", to, prefix)
	}
	return a.path()
}

// appCode is the code that an answer brings to the application; empty for none.
func (a answer) appCode() string {
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Host == "" || u.Host == "dex.test" {
		return ""
	}
	return u.Query().Get("code")
}

// newApp sets up an app for one of the crowd in a browser of its own, and returns its key and the recovery codes. The app has used the
// code of the step before the current one.
func (s *server) newApp(client, name string) (secret string, codes []string) {
	s.t.Helper()
	b := s.browser()
	at := b.enter(client, name).at("/mfa/totp?")
	secret = b.appKey(at)
	shown := b.post(at, url.Values{"totp": {oneTimeCode(s.t, secret, -1)}}).at("/mfa/codes?")
	for _, code := range recoveryCode.FindAllStringSubmatch(b.visit(shown).wantStatus(http.StatusOK).body, -1) {
		codes = append(codes, code[1])
	}
	if code := b.post(shown, nil).appCode(); code == "" || len(codes) == 0 {
		s.t.Fatalf("code %q after recovery codes %v", code, codes)
	}
	return secret, codes
}

// appKey is the key of an app that the page for setting it up shows.
func (b *browser) appKey(at string) string {
	b.t.Helper()
	page := b.visit(at).wantStatus(http.StatusOK)
	found := shownSecret.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("no key on the page: %s", page.body)
	}
	return found[1]
}

func newKey() *factortest.Authenticator {
	return &factortest.Authenticator{Origin: "http://dex.test", UserVerified: true}
}

// newKeyOf registers a security key for one of the crowd in a browser of its own.
func (s *server) newKeyOf(client, name string) *factortest.Authenticator {
	s.t.Helper()
	b, key := s.browser(), newKey()
	at := b.enter(client, name).at("/mfa/webauthn?")
	a := b.register(at, key)
	if a.status != http.StatusOK {
		s.t.Fatalf("no key: %d %s", a.status, a.body)
	}
	if end := b.afterScript(a); end.appCode() == "" {
		s.t.Fatalf("no code: %d %s", end.status, end.header.Get("Location"))
	}
	return key
}

// register registers a key at the page of an authenticator, and returns the answer to the script.
func (b *browser) register(at string, key *factortest.Authenticator) answer {
	b.t.Helper()
	return b.ceremony(at, "register", key.Create)
}

// assert signs with a key at the page of an authenticator, and returns the answer to the script.
func (b *browser) assert(at string, key *factortest.Authenticator) answer {
	b.t.Helper()
	return b.ceremony(at, "login", key.Get)
}

func (b *browser) ceremony(at, kind string, do func([]byte) ([]byte, error)) answer {
	b.t.Helper()
	begun := b.script(scriptAt(at, kind, "begin"), "{}")
	if begun.status != http.StatusOK || begun.json()["publicKey"] == nil {
		return begun
	}
	made, err := do([]byte(begun.body))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.script(scriptAt(at, kind, "finish"), string(made))
}

// scriptAt is where the script of the page of a key asks.
func scriptAt(at, kind, step string) string {
	_, query, _ := strings.Cut(at, "?")
	return "/dex/mfa/webauthn/" + kind + "/" + step + "?" + query
}

// afterScript goes where a script is sent, past the recovery codes.
func (b *browser) afterScript(a answer) answer {
	b.t.Helper()
	to := a.text("redirect")
	if to == "" {
		return a
	}
	end := b.visit(to)
	if strings.HasPrefix(end.header.Get("Location"), "/dex/mfa/codes?") {
		b.visit(end.path()).wantStatus(http.StatusOK)
		end = b.post(end.path(), nil)
	}
	return end
}

var linkTo = regexp.MustCompile(`href="(/dex/mfa/[a-z]+\?[^"]*)"`)

// links are the pages of factors that a page leads to.
func (a answer) links() []string {
	var links []string
	for _, m := range linkTo.FindAllStringSubmatch(a.body, -1) {
		links = append(links, strings.ReplaceAll(m[1], "&amp;", "&"))
	}
	return links
}

var addresses atomic.Int64

// elsewhere sends a request from an address that nobody has used.
func (b *browser) elsewhere(r *http.Request) answer {
	b.t.Helper()
	n := addresses.Add(1)
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", n>>16&255, n>>8&255, n&255)
	return b.send(r)
}

// postFrom posts a form with headers of its own, in pairs.
func (b *browser) postFrom(path string, form url.Values, headers ...string) answer {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return b.elsewhere(r)
}

// tokensOf returns the claims of the ID token that comes of an answer.
func (b *browser) claimsOf(client string, a answer) map[string]any {
	b.t.Helper()
	return claims(b.t, b.redeem(client, a.wantStatus(http.StatusSeeOther)).text("id_token"))
}

// methodsOf is the amr of claims, as text.
func methodsOf(c map[string]any) string {
	if c["amr"] == nil {
		return ""
	}
	text, _ := json.Marshal(c["amr"])
	return string(text)
}

// factorOf is what one of the crowd has set up.
func (s *crowded) factorOf(name string) *factor.Record {
	s.t.Helper()
	e, err := store.In(s.store, factor.Kind).Get(s.t.Context(), identity.Key(name, "crowd"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.t.Fatal(err)
	}
	return &e.Value
}

// A flow is one way through second factors to a code, step by step, for a user who has what prepare has given them.
type factorFlow struct {
	mfa     string // more settings
	chain   string
	prepare func(s *server, u *passer)
	steps   []func(b *browser, u *passer, before answer) answer
}

// A passer is somebody on their way.
type passer struct {
	name   string
	secret string // of their app
	step   int64  // of the app's next code, from now
	codes  []string
	key    *factortest.Authenticator
	at     string // the page of the factor
}

// nextCode is a code that was not given before.
func (u *passer) nextCode(b *browser) url.Values {
	u.step++
	return url.Values{"totp": {oneTimeCode(b.t, u.secret, u.step-1)}}
}

// factorKey is where what one of the crowd has set up is stored.
func (s *crowded) factorKey(name string) string { return identity.Key(name, "crowd") }
