package app_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/telemetry"
)

var update = flag.Bool("update", false, "write what the log says into testdata/events.txt")

// eventful is a configuration under which all that live does can happen.
const eventful = configuration + `
- {id: rolled, secret: new, previousSecret: old-secret, name: Rolled, redirectURIs: ["https://rolled.test/cb"]}
oauth2: {passwordConnector: local, grantTypes: [authorization_code, refresh_token, password, implicit,
  "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange", client_credentials]}
expiry: {refreshTokens: {reuseInterval: 0s, validIfNotUsedFor: 1h}}
`

// Alerts look for what the log says about people and applications, so it stays as it is, to the letter.
func TestLinesOfEventsStay(t *testing.T) {
	var log bytes.Buffer
	live(t, eventfulServer(t, &log, nil))
	got := unvarying(log.String())
	const golden = "testdata/events.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the log says\n%s\nwant\n%s", got, want)
	}
}

// eventfulServer runs a server that logs into a buffer and emits events to a sink too, if there is one.
func eventfulServer(t *testing.T, log *bytes.Buffer, events event.Sink) *server {
	t.Helper()
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(eventful), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	opts := app.Options{
		Log:       telemetry.NewLogger(log, "text", slog.LevelInfo, []string{"email"}),
		WrapStore: withKeys(t, plan, nil),
		Events:    []event.Sink{inAllFlows},
	}
	if events != nil {
		opts.Events = append(opts.Events, events)
	}
	core, err := app.New(t.Context(), plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	log.Reset() // what the start logs is not about events
	return &server{t: t, handler: core.Handler()}
}

// A recorder keeps the events of a server.
type recorder struct {
	mu     sync.Mutex
	events []event.Event
}

// Emit implements event.Sink.
func (r *recorder) Emit(_ context.Context, e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// take returns the events since the last call, without those that are only counted.
func (r *recorder) take() []event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := slices.DeleteFunc(r.events, func(e event.Event) bool {
		switch e.(type) {
		case event.SourceAsked, event.LoginGranted:
			return true
		}
		return false
	})
	r.events = nil
	return taken
}

// A subscriber learns from each event which client, connector and user it is about, whether or not the log says so.
func TestEventsSayWhoseTheyAre(t *testing.T) {
	var log bytes.Buffer
	var told recorder
	s := eventfulServer(t, &log, &told)
	kilgore := event.Login{ClientID: "app", ConnectorID: "mock", UserID: "0-385-28089-0"}
	admin := event.Login{ClientID: "app", ConnectorID: "local", UserID: "08a8684b-db88-4b73-90a9-3cd1661f5466"}
	issued := func(l event.Login, grant string, scopes ...string) event.Event {
		return event.TokensIssued{Login: l, GrantType: grant, Scopes: scopes}
	}
	again := func(l event.Login, generation uint64, scopes ...string) event.Event {
		return event.TokensIssued{Login: l, GrantType: "refresh_token", Scopes: scopes, Generation: generation}
	}
	in := event.SignedIn{
		ClientID: "app", ConnectorID: "mock", UserID: "0-385-28089-0", Username: "Kilgore Trout",
		Email: "kilgore@kilgore.trout", EmailVerified: true, Groups: []string{"authors"},
	}
	all := []string{"openid", "email", "profile", "groups", "offline_access"}
	verifier, wrong := strings.Repeat("v", 43), strings.Repeat("w", 43)
	var first, second, access string
	for _, step := range []struct {
		name string
		do   func()
		want []event.Event
	}{
		{"a login", func() { first = s.tokens().text("refresh_token") }, []event.Event{in, issued(kilgore, "authorization_code", all...)}},
		{"a refresh", func() {
			t := s.token(refreshForm(first))
			second, access = t.text("refresh_token"), t.text("access_token")
		}, []event.Event{again(kilgore, 0, all...)}},
		{"an access token is revoked", func() { s.postAs("app", "/dex/token/revoke", form("token", access)) }, []event.Event{event.Revoked{Login: kilgore}}},
		{"a refresh token is reused", func() {
			second = s.token(refreshForm(second)).text("refresh_token")
			s.token(refreshForm(first))
		}, []event.Event{
			again(kilgore, 1, all...), event.RefreshTokenReused{Login: kilgore},
			event.RequestRefused{Endpoint: event.Token, ClientID: "app", GrantType: "refresh_token", Login: kilgore, Code: "invalid_grant", Status: 400},
		}},
		{"a code is replayed", func() {
			code := s.code("scope", "openid")
			s.token(codeForm(code))
			s.token(codeForm(code))
		}, []event.Event{
			in, issued(kilgore, "authorization_code", "openid"), event.CodeReplayed{Login: kilgore},
			event.RequestRefused{Endpoint: event.Token, ClientID: "app", GrantType: "authorization_code", Login: kilgore, Code: "invalid_grant", Status: 400},
		}},
		{"a code is replayed without its verifier", func() {
			code := s.code("code_challenge", verifier)
			s.token(codeForm(code, "code_verifier", verifier))
			s.token(codeForm(code, "code_verifier", wrong))
		}, []event.Event{
			in, issued(kilgore, "authorization_code", all...), event.CodeReplayed{Login: kilgore},
			event.RequestRefused{Endpoint: event.Token, ClientID: "app", GrantType: "authorization_code", Login: kilgore, Code: "invalid_grant", Status: 400},
		}},
		{"a code is shown once, without its verifier", func() {
			s.token(codeForm(s.code("code_challenge", verifier), "code_verifier", wrong))
		}, []event.Event{
			in, event.RequestRefused{Endpoint: event.Token, ClientID: "app", GrantType: "authorization_code", Login: kilgore, Code: "invalid_grant", Status: 400},
		}},
		{"a refresh token is revoked", func() {
			s.postAs("app", "/dex/token/revoke", form("token", s.tokens("scope", "openid offline_access").text("refresh_token")))
		}, []event.Event{
			in, issued(kilgore, "authorization_code", "openid", "offline_access"), event.Revoked{Login: kilgore, All: true},
		}},
		{"a login is refused", func() {
			b := s.browser()
			b.post(b.consent(), url.Values{"approval": {"rejected"}})
		}, []event.Event{in, event.LoginFailed{
			ClientID: "app", ConnectorID: "mock", UserID: kilgore.UserID, Path: "/dex/approval", Status: 400, Code: "access_denied",
		}}},
		{"a password is wrong", func() {
			b := s.browser()
			b.post(b.passwordForm(), url.Values{"login": {"admin@example.com"}, "password": {"wrong"}})
		}, []event.Event{event.WrongPassword{ClientID: "app", ConnectorID: "local", Login: "admin@example.com", Form: true}}},
		{"a password is granted", func() {
			s.token(form("grant_type", "password", "scope", "openid", "username", "admin@example.com", "password", "password"))
		}, []event.Event{issued(admin, "password", "openid")}},
	} {
		step.do()
		happened := told.take()
		for _, secret := range []string{first, second, access, "app-secret"} {
			if said := fmt.Sprintf("%+v", happened); secret != "" && strings.Contains(said, secret) {
				t.Errorf("%s: a secret is in %s", step.name, said)
			}
		}
		if got := withoutIDs(happened); !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", step.name, got, step.want)
		}
	}
}

// withoutIDs leaves out the ids of logins, which must be there, and the errors.
func withoutIDs(events []event.Event) []event.Event {
	for i, e := range events {
		switch e := e.(type) {
		case event.TokensIssued:
			e.ID, e.TokenID = masked(e.ID), masked(e.TokenID)
			e.AccessTokenSize, e.IDTokenSize = 0, 0
			events[i] = e
		case event.CodeReplayed:
			e.ID = masked(e.ID)
			events[i] = e
		case event.RefreshTokenReused:
			e.ID = masked(e.ID)
			events[i] = e
		case event.Revoked:
			if e.All {
				e.ID = masked(e.ID)
			}
			events[i] = e
		case event.RequestRefused:
			e.Err, e.Login.ID = nil, masked(e.Login.ID)
			events[i] = e
		case event.LoginFailed:
			e.Err = nil
			events[i] = e
		}
	}
	return events
}

func masked(id string) string {
	if id == "" {
		return "missing"
	}
	return ""
}

// live makes what happens to people and applications happen on a server.
func live(t *testing.T, s *server) {
	t.Helper()
	signIns(s)
	refusedRequests(s)
	tokensOfOthers(s)
	passwords(s)
	replays(s)
}

func signIns(s *server) {
	b := s.browser()
	b.post(b.consent(), url.Values{"approval": {"rejected"}})
	form := b.passwordForm()
	b.post(form, url.Values{"login": {"admin@example.com"}, "password": {"wrong"}}).wantStatus(http.StatusUnauthorized)
	b.post(form, credentials()).wantStatus(http.StatusSeeOther)
	b.visit("/dex/callback?state=lost").wantStatus(http.StatusBadRequest)
	refused := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound)
	b.visit("/dex/callback/mock?state=" + refused.location().Query().Get("state") + "&state=twice").wantStatus(http.StatusBadRequest)
}

func refusedRequests(s *server) {
	s.get("/dex/auth?client_id=nobody&redirect_uri=x&response_type=code").wantStatus(http.StatusBadRequest)
	s.get(authPath("redirect_uri", "https://elsewhere.test/")).wantStatus(http.StatusBadRequest)
	s.get(authPath("response_type", "nonsense")).wantStatus(http.StatusSeeOther)
	s.get(authPath("prompt", "none")).wantStatus(http.StatusSeeOther)
	wrong := func(secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("app", secret) }
	}
	s.token(form("grant_type", "client_credentials"), wrong("wrong"))
	s.token(form("grant_type", "client_credentials"), wrong(""))
	s.token(form("grant_type", "client_credentials", "client_id", "nobody", "client_secret", "x"), noCredentials)
	s.token(form("grant_type", "client_credentials", "client_id", "rolled", "client_secret", "old-secret"), noCredentials)
	s.token(form("grant_type", "unheard-of"))
	s.token(refreshForm("nonsense"))
	s.postAs("app", "/dex/device/code", form("scope", "openid nonsense"))
	s.postAs("app", "/dex/device/token", form("grant_type", "password"))
	b := s.browser()
	b.post("/dex/device/auth/verify_code", form("user_code", "AAAA-AAAA"))
	b.visit("/dex/device/callback?state=AAAA-AAAA")
}

func tokensOfOthers(s *server) {
	t := s.tokens()
	as := func(client, endpoint, token string) answer { return s.postAs(client, endpoint, form("token", token)) }
	as("other", "/dex/token/introspect", t.text("access_token")).wantStatus(http.StatusOK)
	as("other", "/dex/token/revoke", t.text("access_token")).wantStatus(http.StatusBadRequest)
	as("other", "/dex/token/revoke", t.text("refresh_token")).wantStatus(http.StatusBadRequest)
	as("app", "/dex/token/introspect", "").wantStatus(http.StatusBadRequest)
	as("app", "/dex/token/revoke", t.text("access_token")).wantStatus(http.StatusOK)
	s.bearer(t.text("access_token")).wantStatus(http.StatusUnauthorized)
	as("app", "/dex/token/revoke", t.text("refresh_token")).wantStatus(http.StatusOK)
	s.bearer("nonsense").wantStatus(http.StatusUnauthorized)
}

func passwords(s *server) {
	grant := func(name, password string) answer {
		return s.token(form("grant_type", "password", "scope", "openid offline_access", "username", name, "password", password))
	}
	grant("admin@example.com", "wrong").wantStatus(http.StatusBadRequest)
	grant("admin@example.com", "password").wantStatus(http.StatusOK)
}

func replays(s *server) {
	first := s.tokens().text("refresh_token")
	second := s.token(refreshForm(first)).wantStatus(http.StatusOK).text("refresh_token")
	s.token(refreshForm(second)).wantStatus(http.StatusOK)
	s.token(refreshForm(first)).wantStatus(http.StatusBadRequest)
	s.token(refreshForm(second)).wantStatus(http.StatusBadRequest)
	for _, scope := range []string{"openid", "openid offline_access"} {
		code := s.code("scope", scope)
		s.token(codeForm(code)).wantStatus(http.StatusOK)
		s.token(codeForm(code)).wantStatus(http.StatusBadRequest)
	}
	s.token(codeForm(s.code(), "redirect_uri", "https://elsewhere.test/")).wantStatus(http.StatusBadRequest)
}

// postAs sends a form as one of the clients.
func (s *server) postAs(client, path string, form url.Values) answer {
	s.t.Helper()
	secrets := map[string]string{"app": "app-secret", "other": url.QueryEscape("o+%ther secret")}
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, secrets[client])
	return s.do(r)
}

// unvarying removes what differs from run to run.
func unvarying(log string) string {
	for _, e := range []struct{ pattern, with string }{
		{`time=\S+ `, ""},
		{` client_remote_addr=\S+ request_id=\S+`, ""},
		{`token_id=\S+`, "token_id=ID"},
	} {
		log = regexp.MustCompile(e.pattern).ReplaceAllString(log, e.with)
	}
	return log
}
