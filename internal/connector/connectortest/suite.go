package connectortest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// A Suite tests what all connectors to hosted providers have in common.
type Suite struct {
	// New makes a fake, at which somebody signs in, and settings of a connector to it, without filters.
	New func(t testing.TB) (*Hosted, func() connector.Config, Object)
	// UserPath is the call that says who the holder of a token is; empty where an ID token does.
	UserPath string
	// Renews says that the provider gives refresh tokens.
	Renews bool
	// Exchanges says that the provider's access tokens can be exchanged, and ExchangesAny that AnyAudience means something, as it
	// does only where upstream exchanges tokens too.
	Exchanges, ExchangesAny bool
}

// all is what an application may ask for.
var all = connector.Scopes{OfflineAccess: true, Groups: true}

func (s Suite) open(t testing.TB, out io.Writer) (*Hosted, Connector) {
	t.Helper()
	h, config, settings := s.New(t)
	return h, Open(t, config(), settings, out)
}

// Run runs the tests.
func (s Suite) Run(t *testing.T) {
	t.Run("login", s.testLogin)
	t.Run("cancelled", s.testCancelled)
	t.Run("refused", s.testRefused)
	if s.UserPath != "" {
		t.Run("answers", s.testAnswers)
		t.Run("limits", s.testLimits)
	}
	t.Run("refresh", s.testRefresh)
	t.Run("conditional", s.testConditional)
	t.Run("exchange", s.testExchange)
	t.Run("settings", s.testSettings)
}

func (s Suite) testLogin(t *testing.T) {
	h, c := s.open(t, nil)
	id, err := h.SignIn(t, c, connector.Scopes{})
	if err != nil || id.UserID == "" || id.Data != nil || id.Groups != nil {
		t.Errorf("%+v, %v", id, err)
	}
	if id, err = h.SignIn(t, c, all); err != nil || id.Data == nil {
		t.Errorf("nothing is kept: %+v, %v", id, err)
	}
	h.RedirectURI = CallbackURL
	h.NoBasic = true
	if _, err = h.SignIn(t, c, all); err != nil {
		t.Errorf("a provider that wants the secret in the form: %v", err)
	}
}

func (s Suite) testCancelled(t *testing.T) {
	h, c := s.open(t, nil)
	h.Deny = oauth.AccessDenied
	if _, err := h.SignIn(t, c, all); connector.OutcomeOf(err) != connector.Cancelled {
		t.Error(err)
	}
	h.Deny = oauth.TemporarilyUnavailable
	if _, err := h.SignIn(t, c, all); connector.OutcomeOf(err) != connector.Unavailable {
		t.Error(err)
	}
}

func (s Suite) testRefused(t *testing.T) {
	h, c := s.open(t, nil)
	h.ClientSecret = "another"
	if _, err := h.SignIn(t, c, all); connector.OutcomeOf(err) != connector.Broken {
		t.Error(err)
	}
	h.ClientSecret, h.RedirectURI = "secret", "https://elsewhere.test/callback"
	if _, err := h.SignIn(t, c, all); err == nil {
		t.Error("a redirect URI that isn't registered passes")
	}
}

// answers are what APIs say that they shouldn't.
var answers = map[string]struct {
	answer http.HandlerFunc
	want   connector.Outcome
}{
	"down":            {Always(http.StatusBadGateway, "<html>"), connector.Unavailable},
	"a page":          {Always(http.StatusOK, "<html>", "Content-Type", "text/html"), connector.Broken},
	"nothing":         {Always(http.StatusOK, ""), connector.Broken},
	"a list":          {Always(http.StatusOK, "[1]"), connector.Broken},
	"a number":        {Always(http.StatusOK, "1"), connector.Broken},
	"cut":             {Always(http.StatusOK, `{"id": 1`), connector.Broken},
	"no members":      {Always(http.StatusOK, "{}"), connector.AccountUnusable},
	"null":            {Always(http.StatusOK, "null"), connector.AccountUnusable},
	"not found":       {Always(http.StatusNotFound, `{"message": "Not Found"}`), connector.Broken},
	"long":            {Always(http.StatusOK, `"`+strings.Repeat("x", 5<<20)+`"`), connector.Broken},
	"a redirect away": {Always(http.StatusFound, "", "Location", "https://evil.test/"), connector.Broken},
	"a redirect around": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
	}, connector.Broken},
	"gone": {func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler) // cuts the connection
	}, connector.Unavailable},
	"too many requests": {Always(http.StatusTooManyRequests, "", "Retry-After", "3600"), connector.Unavailable},
}

func (s Suite) testAnswers(t *testing.T) {
	for name, c := range answers {
		h, conn := s.open(t, nil)
		before, err := h.SignIn(t, conn, all)
		if err != nil {
			t.Fatal(err)
		}
		h.Answer(s.UserPath, c.answer)
		if id, err := h.SignIn(t, conn, all); connector.OutcomeOf(err) != c.want || id.UserID != "" {
			t.Errorf("%s: %s, want %s: %v", name, connector.OutcomeOf(err), c.want, err)
		}
		if id, err := conn.Refresh(t.Context(), all, before); connector.OutcomeOf(err) != c.want || id.Data == nil {
			t.Errorf("%s at a refresh: %s, want %s: %v", name, connector.OutcomeOf(err), c.want, err)
		}
	}
}

func (s Suite) testLimits(t *testing.T) {
	h, c := s.open(t, nil)
	asked := 0
	h.Fail[s.UserPath] = func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			Always(http.StatusTooManyRequests, "", "Retry-After", "1")(w, r)
			return
		}
		h.mux.ServeHTTP(w, r)
	}
	if _, err := h.SignIn(t, c, all); err != nil || asked != 2 {
		t.Errorf("a provider that wants a pause: %d calls, %v", asked, err)
	}
}

func (s Suite) testRefresh(t *testing.T) {
	h, c := s.open(t, nil)
	h.Rotates, h.Life = true, time.Hour
	id, err := h.SignIn(t, c, all)
	if err != nil {
		t.Fatal(err)
	}
	again := func(what string, want connector.Outcome) {
		t.Helper()
		next, err := c.Refresh(t.Context(), all, id)
		if connector.OutcomeOf(err) != want {
			t.Fatalf("%s: %s, want %s: %v", what, connector.OutcomeOf(err), want, err)
		}
		if err == nil {
			if next.UserID != id.UserID || next.Email != id.Email || !slices.Equal(next.Groups, id.Groups) {
				t.Errorf("%s: %+v was %+v", what, next, id)
			}
			id = next
		} else if next.Data != nil {
			id.Data = next.Data
		}
	}
	again("a refresh", connector.Succeeded)
	again("another", connector.Succeeded)
	h.Expire()
	if s.Renews {
		again("after the access token has ended", connector.Succeeded)
		h.Expire()
		if s.UserPath != "" {
			h.Answer(s.UserPath, Always(http.StatusBadGateway, ""))
			again("while the API is down", connector.Unavailable)
			h.Answer(s.UserPath, nil)
		}
		again("with the rotated token that was kept", connector.Succeeded)
		again("with the access token of that", connector.Succeeded)
	}
	h.Revoke(h.User)
	again("after the user has taken the grant back", connector.Gone)
	for name, data := range map[string]string{"nothing": "", "no JSON": "}", "no tokens": "{}"} {
		id.Data = []byte(data)
		again(name, connector.Gone)
	}
}

// testConditional refreshes while nothing has changed.
func (s Suite) testConditional(t *testing.T) {
	h, c := s.open(t, nil)
	h.ETags = true
	id, err := h.SignIn(t, c, all)
	if err != nil {
		t.Fatal(err)
	}
	h.Calls()
	next, err := c.Refresh(t.Context(), all, id)
	if err != nil || next.UserID != id.UserID || !slices.Equal(next.Groups, id.Groups) {
		t.Errorf("%+v was %+v: %v", next, id, err)
	}
	for _, call := range h.Calls() {
		if call.Method == http.MethodGet && call.Header.Get("If-None-Match") == "" && call.Header.Get("Authorization") != "" {
			t.Errorf("%s is asked for without a condition", call.URI)
		}
	}
}

func (s Suite) testExchange(t *testing.T) {
	h, c := s.open(t, nil)
	exchanger, ok := c.(connector.TokenIdentity)
	if ok != s.Exchanges {
		t.Fatalf("it is %t that tokens can be exchanged", ok)
	}
	if !ok {
		return
	}
	given, err := h.SignIn(t, c, all)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ AccessToken string }
	if err := json.Unmarshal(given.Data, &kept); err != nil {
		t.Fatal(err)
	}
	anothers := connector.TokenRefused
	if s.ExchangesAny {
		anothers = connector.Succeeded
	}
	for name, e := range map[string]struct {
		token connector.SubjectToken
		want  connector.Outcome
	}{
		"another's, for all": {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: h.Token("other", h.User, "read_user", "openid", "read_api"), AnyAudience: true}, anothers},
		"our own":            {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: kept.AccessToken}, connector.Succeeded},
		"another's":          {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: h.Token("other", h.User)}, connector.TokenRefused},
		"anybody's":          {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: kept.AccessToken, AnyAudience: true}, connector.Succeeded},
		"an unknown one":     {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "unknown"}, connector.TokenRefused},
		"unknown, for all":   {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "unknown", AnyAudience: true}, connector.TokenRefused},
		"a bad one":          {connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "a b\r\n"}, connector.TokenRefused},
	} {
		id, err := exchanger.TokenIdentity(t.Context(), all, e.token)
		if connector.OutcomeOf(err) != e.want || err == nil && id.UserID != given.UserID || err != nil && id.UserID != "" {
			t.Errorf("%s: %s, want %s: %+v, %v", name, connector.OutcomeOf(err), e.want, id, err)
		}
	}
}

func (s Suite) testSettings(t *testing.T) {
	_, config, _ := s.New(t)
	problems := Decode(t, config(), Object{"rootCAs": []string{"no such file"}})
	if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "clientID: is missing") {
		t.Errorf("settings without a client: %v", err)
	}
}
