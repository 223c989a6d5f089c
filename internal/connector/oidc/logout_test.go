package oidc_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dex/internal/connector"
)

const ownLogoutURL = "https://dex.test/logout/oidc"

// post has the provider send a logout token.
func post(t *testing.T, c connection, tokens ...string) (connector.SourceLogout, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, ownLogoutURL, nil)
	r.PostForm = url.Values{"logout_token": tokens}
	return c.ReceiveLogout(t.Context(), r)
}

// get has the provider send a browser, or a frame in one.
func get(t *testing.T, c connection, query string) (connector.SourceLogout, error) {
	t.Helper()
	return c.ReceiveLogout(t.Context(), httptest.NewRequest(http.MethodGet, ownLogoutURL+"?"+query, nil))
}

// A login keeps what a logout needs, on either side.
func TestSession(t *testing.T) {
	p := newProvider(t)
	p.Discovery = object{"end_session_endpoint": p.URL + "/end"}
	c := p.open(object{"userIDKey": "email"})
	p.IDToken = object{"sid": "session-1"}
	id, err := p.signIn(c)
	if err != nil {
		t.Fatal(err)
	}
	if id.Session.ID != "session-1" || id.Session.Subject != "sub-1" {
		t.Errorf("got %+v", id.Session)
	}
	to, err := c.LogoutURL(t.Context(), connector.LogoutRequest{Session: id.Session, ReturnURL: "https://dex.test/logout/callback"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		t.Fatal(err)
	}
	if hint := u.Query().Get("id_token_hint"); strings.Count(hint, ".") != 2 || hint != string(id.Session.Data) {
		t.Errorf("the ID token that is sent back is %q", hint)
	}
	p.IDToken = object{"sid": strings.Repeat("s", 2000), "more": strings.Repeat("m", 7000)}
	if id, err = p.signIn(c); err != nil || id.Session.ID != "" || id.Session.Data != nil || id.Session.Subject != "sub-1" {
		t.Errorf("what is too long is kept: %v %+v", err, id.Session)
	}
}

func TestLogoutToken(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	const event = "http://schemas.openid.net/event/backchannel-logout"
	for name, c := range map[string]struct {
		settings object
		says     object
		typ      string
		want     string // a part of the error; empty for none
	}{
		"good":                       {typ: "logout+jwt"},
		"without a type":             {},
		"of the usual type":          {typ: "JWT"},
		"of the full type":           {typ: "application/logout+jwt"},
		"an access token":            {typ: "at+jwt", want: "its typ"},
		"a security event":           {typ: "secevent+jwt", want: "its typ"},
		"another issuer":             {says: object{"iss": "https://evil.test"}, want: "its issuer is"},
		"no issuer":                  {says: object{"iss": nil}, want: "no iss"},
		"the alias":                  {settings: object{"issuerAlias": "https://alias.test"}, says: object{"iss": "https://alias.test"}},
		"not the alias":              {settings: object{"issuerAlias": "https://alias.test"}, want: "its issuer is"},
		"several audiences":          {says: object{"aud": []string{"other", "dex"}}},
		"another audience":           {says: object{"aud": "other"}, want: "was made for"},
		"no audience":                {says: object{"aud": nil}, want: "was made for"},
		"given to another":           {says: object{"azp": "other"}, want: "was given to"},
		"no iat":                     {says: object{"iat": nil}, want: "no iat"},
		"no iat, as logins may have": {settings: object{"insecureSkipIssuedAt": true}, says: object{"iat": nil}, want: "no iat"},
		"iat is no time":             {says: object{"iat": "now"}, want: "no iat"},
		"of the future":              {says: object{"iat": at(time.Hour), "exp": at(2 * time.Hour)}, want: "future"},
		"a clock that is fast":       {says: object{"iat": at(time.Minute)}},
		"expired":                    {says: object{"exp": at(-time.Minute)}, want: "expired"},
		"a clock that is slow":       {says: object{"exp": at(-5 * time.Second)}},
		"slower than allowed":        {settings: object{"clockSkew": "1s"}, says: object{"exp": at(-5 * time.Second)}, want: "expired"},
		"exp is no time":             {says: object{"exp": "never"}, want: "expired"},
		"no exp":                     {says: object{"exp": nil}},
		"no exp, and old":            {says: object{"exp": nil, "iat": at(-6 * time.Minute)}, want: "expired"},
		"a late exp":                 {says: object{"exp": at(1000 * time.Hour), "iat": at(-59 * time.Minute)}},
		"a late exp, and old":        {says: object{"exp": at(1000 * time.Hour), "iat": at(-2 * time.Hour)}, want: "expired"},
		"no events":                  {says: object{"events": nil}, want: "events"},
		"events is a list":           {says: object{"events": []string{event}}, want: "events"},
		"another event":              {says: object{"events": object{"https://x.test": object{}}}, want: "events"},
		"several events":             {says: object{"events": object{"https://x.test": object{}, event: object{"more": 1}}}},
		"the event is no object":     {says: object{"events": object{event: true}}, want: "events"},
		"the event is null":          {says: object{"events": object{event: nil}}, want: "events"},
		"a nonce":                    {says: object{"nonce": "n"}, want: "nonce"},
		"an empty nonce":             {says: object{"nonce": ""}, want: "nonce"},
		"only the user":              {says: object{"sid": nil}},
		"only the session":           {says: object{"sub": nil}},
		"nobody":                     {says: object{"sub": nil, "sid": nil}, want: "about nobody"},
		"sub is empty":               {says: object{"sub": ""}, want: "no text, or empty"},
		"sid is a number":            {says: object{"sid": 1}, want: "no text, or empty"},
		"no jti":                     {says: object{"jti": nil}, want: "no jti"},
		"too long":                   {says: object{"more": strings.Repeat("x", 20_000)}, want: "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.TokenType = c.typ
			got, err := post(t, p.open(c.settings), p.SignLogout(c.says))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil {
				if connector.OutcomeOf(err) != connector.TokenRefused {
					t.Errorf("the outcome of %v is %v", err, connector.OutcomeOf(err))
				}
				return
			}
			want := connector.SourceLogout{Subject: "sub-1", Sessions: []string{"session-1"}}
			if sub, there := c.says["sub"]; there && sub == nil {
				want.Subject = ""
			}
			if sid, there := c.says["sid"]; there && sid == nil {
				want.Sessions = nil
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(connector.SourceLogout{}, "Before")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A late message doesn't end what has begun since.
func TestLogoutTokenIsOfItsTime(t *testing.T) {
	p := newProvider(t)
	issued := time.Now().Add(-4 * time.Minute).Truncate(time.Second)
	got, err := post(t, p.open(nil), p.SignLogout(object{"iat": issued.Unix()}))
	if err != nil || !got.Before.Equal(issued.Add(time.Minute)) {
		t.Errorf("got %v, %v", got.Before, err)
	}
}

func TestForgedLogoutToken(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	good := p.SignLogout(nil)
	_, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	head, _, _ := strings.Cut(good, ".")
	p.Algorithm = jose.HS256
	hmac := p.SignLogout(nil)
	p.Algorithm, p.KeyID = jose.RS256, "invented"
	unknown := p.SignLogout(nil)
	p.KeyID = "1"
	for name, tokens := range map[string][]string{
		"none":            {},
		"two":             {p.SignLogout(nil), p.SignLogout(nil)},
		"empty":           {""},
		"no token":        {"x.y.z"},
		"alg none":        {part(`{"alg":"none"}`) + "." + payload + "."},
		"no signature":    {head + "." + payload + "."},
		"another payload": {head + "." + part(`{"iss":"`+p.URL+`"}`) + "." + signature},
		"HMAC":            {hmac},
		"an unknown key":  {unknown},
		"an ID token":     {p.Sign(nil)},
		"encrypted":       {part(`{"alg":"RSA-OAEP-256","enc":"A256GCM"}`) + ".a.b.c.d"},
	} {
		if got, err := post(t, c, tokens...); connector.OutcomeOf(err) != connector.TokenRefused {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	if len(p.seen) > 0 {
		t.Errorf("a forged token is remembered: %v", p.seen)
	}
}

func TestLogoutTokenCountsOnce(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	token := p.SignLogout(nil)
	p.lost = errors.New("no storage")
	if _, err := post(t, c, token); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("without the storage: %v", err)
	}
	p.lost = nil
	if _, err := post(t, c, token); err != nil {
		t.Errorf("the first time: %v", err)
	}
	if _, err := post(t, c, token); connector.OutcomeOf(err) != connector.TokenRefused || !strings.Contains(err.Error(), "used before") {
		t.Errorf("the second time: %v", err)
	}
	if _, err := post(t, c, p.SignLogout(nil)); err != nil {
		t.Errorf("another: %v", err)
	}
}

// A provider whose keys can't be read is asked again, and nobody is signed out or in.
func TestLogoutTokenWhileProviderIsDown(t *testing.T) {
	p := newProvider(t)
	c := p.open(nil)
	p.Down = true
	if _, err := post(t, c, p.SignLogout(nil)); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("got %v", err)
	}
	p.Down = false
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Down = true
	if _, err := post(t, c, p.SignLogout(nil)); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("without keys: %v", err)
	}
}

func TestFrontChannel(t *testing.T) {
	supported := object{"frontchannel_logout_supported": true}
	withSessions := object{"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true}
	for name, c := range map[string]struct {
		metadata object
		query    string // ISS stands for the issuer
		want     []string
		refused  bool
	}{
		"a session":                         {withSessions, "iss=ISS&sid=s", []string{"s"}, false},
		"a session, of whom says nothing":   {nil, "iss=ISS&sid=s", []string{"s"}, false},
		"a session, and no issuer":          {nil, "sid=s", []string{"s"}, false},
		"another issuer":                    {withSessions, "iss=https://x.test&sid=s", nil, true},
		"an empty issuer":                   {withSessions, "iss=&sid=s", nil, true},
		"two issuers":                       {withSessions, "iss=ISS&iss=ISS&sid=s", nil, true},
		"two sessions":                      {withSessions, "iss=ISS&sid=s&sid=t", nil, true},
		"an empty session":                  {withSessions, "iss=ISS&sid=", nil, true},
		"a long session":                    {withSessions, "iss=ISS&sid=" + strings.Repeat("s", 2000), nil, true},
		"everything, of one without them":   {supported, "", nil, false},
		"everything, of one with sessions":  {withSessions, "", nil, true},
		"everything, of one that says so":   {nil, "iss=ISS", nil, true},
		"everything, but another issuer":    {supported, "iss=https://x.test", nil, true},
		"a token, which browsers don't get": {withSessions, "logout_token=x", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Discovery = c.metadata
			got, err := get(t, p.open(nil), strings.ReplaceAll(c.query, "ISS", url.QueryEscape(p.URL)))
			if c.refused {
				if connector.OutcomeOf(err) != connector.TokenRefused {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			want := connector.SourceLogout{Sessions: c.want, Browser: true, Unsigned: true}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}
