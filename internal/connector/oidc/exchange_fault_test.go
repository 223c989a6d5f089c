package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/faulttest"
	"dex/internal/oauth"
)

// exchange exchanges a token, and returns whose it is, or why it is refused; anything else fails the test.
func (p *provider) exchange(t *testing.T, settings object, kind, token string) (sub, refused string) {
	t.Helper()
	id, err := p.open(settings).TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{Type: kind, Token: token})
	bad, isBad := errors.AsType[*connector.BadToken](err)
	if err != nil && !isBad {
		t.Fatalf("neither taken nor refused: %v", err)
	}
	if bad != nil {
		return "", bad.Reason
	}
	return id.UserID, ""
}

// unsigned returns a token of which nobody but its maker can tell if it is genuine.
func unsigned(claims object) string {
	part := func(v any) string {
		text, _ := json.Marshal(v) // objects of texts
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(object{"alg": "HS256"}) + "." + part(claims) + ".c2lnbmF0dXJl"
}

// An access token that was made for another application was taken where it could not be read here, but by the provider.
var _ = faulttest.Add("R1", func(t *testing.T) {
	p := newProvider(t)
	p.UserInfo = object{"sub": "victim", "email": "v@x", "email_verified": true}
	settings := object{"getUserInfo": true}
	foreign := p.Sign(object{"aud": "other"})
	encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: connectortest.SigningKey().Public()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := encrypter.Encrypt([]byte(foreign))
	if err != nil {
		t.Fatal(err)
	}
	jwe, err := encrypted.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(foreign, ".")
	for name, token := range map[string]string{
		"as it is": foreign, "blank": foreign + " ", "tab": foreign + "\t", "blank before": " " + foreign, "line": foreign + "\r\n",
		"percent": foreign + "%20", "comma": foreign + ",x", "beyond ASCII": foreign + "\u00a0", "empty part": foreign + ".",
		"HS256": unsigned(object{"aud": "other"}), "encrypted": jwe, "no audience": unsigned(object{"sub": "victim"}),
		"padding": foreign + "=", "no claims": header + ".e30", "nonsense between dots": "a.b.c", "and more of it": "a.b.c.d.e",
	} {
		before := p.Asked["/userinfo"]
		if sub, refused := p.exchange(t, settings, oauth.TokenTypeAccess, token); sub != "" || refused == "" {
			t.Errorf("%s: signs in %q", name, sub)
		}
		if p.Asked["/userinfo"] != before {
			t.Errorf("%s: the provider is asked", name)
		}
	}
	for name, token := range map[string]string{"opaque": "opaque", "with a dot": "ya29.a0Af_H6-S~M+B/x==", "HS256": unsigned(object{"aud": []string{"x", "dex"}})} {
		if sub, refused := p.exchange(t, settings, oauth.TokenTypeAccess, token); sub != "victim" {
			t.Errorf("%s: refused: %s", name, refused)
		}
	}
	if sub, _ := p.exchange(t, nil, oauth.TokenTypeID, p.Sign(object{"nonce": nil})+" "); sub != "" {
		t.Error("an ID token with a blank is taken")
	}
	if sub, _ := p.exchange(t, merged(settings, object{"exchangeAccessTokensBy": "signature"}), oauth.TokenTypeAccess, "opaque"); sub != "" {
		t.Error("an opaque token is taken by its signature")
	}
})

// Only the provider can tell for whom an opaque token was made, and nobody asked it.
var _ = faulttest.Add("R1", func(t *testing.T) {
	p := newProvider(t)
	settings := object{"exchangeAccessTokensBy": "introspection"}
	good := object{"active": true, "sub": "u", "aud": "dex", "email": "v@x", "email_verified": true}
	for name, c := range map[string]struct{ knows, settings object }{
		"for us": {}, "one of several": {knows: object{"aud": []string{"x", "dex"}}}, "of the issuer": {knows: object{"iss": p.URL}},
		"by request": {knows: object{"aud": "api", "client_id": "dex"}, settings: object{"insecureExchangeByRequester": true}},
		"listed":     {knows: object{"aud": "api"}, settings: object{"exchangeAudiences": []string{"api"}}},
	} {
		p.Knows = merged(good, c.knows)
		if sub, refused := p.exchange(t, merged(settings, c.settings), oauth.TokenTypeAccess, "opaque"); sub != "u" {
			t.Errorf("%s: %s", name, refused)
		}
	}
	for name, knows := range map[string]object{
		"not active": {"active": false}, "activity unknown": {"active": "true"}, "another's": {"aud": "other"}, "nobody's": {"aud": nil},
		"without a user": {"sub": nil}, "another issuer's": {"iss": "https://evil.test"}, "by request": {"aud": "api", "client_id": "dex"},
		"a refresh token": {"token_use": "refresh_token"},
	} {
		p.Knows = merged(good, knows)
		for _, token := range []string{"opaque", p.Sign(nil)} {
			if sub, _ := p.exchange(t, settings, oauth.TokenTypeAccess, token); sub != "" {
				t.Errorf("%s: signs in %q", name, sub)
			}
		}
	}
	_, err := p.open(merged(settings, object{"clientSecret": "wrong"})).TokenIdentity(t.Context(), connector.Scopes{},
		connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "opaque"})
	_, isBad := errors.AsType[*connector.BadToken](err)
	if err == nil || isBad {
		t.Errorf("a provider that does not know us makes the token bad: %v", err)
	}
	for name, more := range map[string]object{
		"": {"getUserInfo": true, "exchangeAccessTokensBy": "introspection"}, "whomever it was made for": {"getUserInfo": true},
		"needs a clientID":  {"clientID": nil, "exchangeAudiences": []string{"x"}, "exchangeAccessTokensBy": "introspection"},
		"needs getUserInfo": {"exchangeAccessTokensBy": "userinfo"}, "must be one of": {"exchangeAccessTokensBy": "trust"},
	} {
		_, problems := decode(t, merged(object{"issuer": "https://idp.test", "clientID": "dex"}, more))
		if text := problemTexts(problems); (text == "") != (name == "") || !strings.Contains(text, name) {
			t.Errorf("%v: %s", more, text)
		}
	}
})

// Every API that got an access token could sign in here as its user, as it was taken for whoever had asked for it.
var _ = faulttest.Add("R14", func(t *testing.T) {
	p := newProvider(t)
	p.UserInfo = object{"sub": "u", "email": "v@x", "email_verified": true}
	for _, settings := range []object{{}, {"getUserInfo": true}} {
		for _, party := range []string{"azp", "client_id"} {
			token := p.Sign(object{"aud": "api", party: "dex"})
			if _, refused := p.exchange(t, settings, oauth.TokenTypeAccess, token); !strings.Contains(refused, "insecureExchangeByRequester") {
				t.Errorf("by %s: %q", party, refused)
			}
			allowed := merged(settings, object{"insecureExchangeByRequester": true})
			if sub, refused := p.exchange(t, allowed, oauth.TokenTypeAccess, token); sub == "" {
				t.Errorf("by %s, as is set: %s", party, refused)
			}
			if sub, _ := p.exchange(t, allowed, oauth.TokenTypeID, token); sub != "" {
				t.Errorf("an ID token is taken by %s", party)
			}
		}
	}
	_, problems := decode(t, object{"issuer": "https://idp.test", "clientID": "dex", "insecureExchangeByRequester": true})
	if text := problemTexts(problems); !strings.Contains(text, "every API") || problems.HasErrors() {
		t.Error(text)
	}
})

// Logout tokens, and access tokens that say that they are, were taken for ID tokens.
var _ = faulttest.Add("R17", func(t *testing.T) {
	logout := object{"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}}
	for name, c := range map[string]struct {
		typ    string
		claims object
		kinds  []string // for which it is refused
	}{
		"logout token":            {"logout+jwt", logout, []string{oauth.TokenTypeID, oauth.TokenTypeAccess}},
		"logout token, no type":   {"", logout, []string{oauth.TokenTypeID, oauth.TokenTypeAccess}},
		"logout token by type":    {"logout+jwt", nil, []string{oauth.TokenTypeID, oauth.TokenTypeAccess}},
		"access token":            {"at+jwt", nil, []string{oauth.TokenTypeID}},
		"access token, long type": {"application/AT+JWT", nil, []string{oauth.TokenTypeID}},
		"ID token":                {"JWT", nil, nil},
		"ID token, no type":       {"", nil, nil},
	} {
		for _, getUserInfo := range []bool{false, true} {
			p := newProvider(t)
			p.TokenType, p.UserInfo = c.typ, object{"sub": "u", "email": "v@x", "email_verified": true}
			for _, kind := range []string{oauth.TokenTypeID, oauth.TokenTypeAccess} {
				wantRefused := strings.Contains(strings.Join(c.kinds, " "), kind)
				sub, refused := p.exchange(t, object{"getUserInfo": getUserInfo}, kind, p.Sign(merged(object{"nonce": nil}, c.claims)))
				if (sub == "") != wantRefused {
					t.Errorf("%s as %s: %q, %q", name, kind, sub, refused)
				}
			}
			p.IDToken = c.claims
			if _, err := p.signIn(p.open(nil)); (err != nil) != (c.kinds != nil) {
				t.Errorf("%s at a login: %v", name, err)
			}
		}
	}
})

// An ID token for several that was given to somebody else was taken.
var _ = faulttest.Add("R18", func(t *testing.T) {
	p := newProvider(t)
	for name, c := range map[string]struct {
		claims          object
		exchange, login bool // taken
	}{
		"ours":                   {object{"aud": []string{"dex", "other"}, "azp": "dex"}, true, true},
		"of several, not said":   {object{"aud": []string{"dex", "other"}}, true, true},
		"another's, of several":  {object{"aud": []string{"dex", "other"}, "azp": "other"}, false, false},
		"another's, of a list":   {object{"aud": []string{"dex"}, "azp": "other"}, true, false}, // as Google's, from a phone
		"no text, at the login":  {object{"aud": []string{"dex", "other"}, "azp": []string{"other"}}, false, false},
		"listed for an exchange": {object{"aud": []string{"dex", "friend"}, "azp": "friend"}, true, false},
	} {
		sub, refused := p.exchange(t, object{"exchangeAudiences": []string{"friend"}}, oauth.TokenTypeID, p.Sign(merged(c.claims, object{"nonce": nil})))
		if (sub != "") != c.exchange {
			t.Errorf("%s: exchange: %q %q", name, sub, refused)
		}
		p.IDToken = maps.Clone(c.claims)
		if _, err := p.signIn(p.open(nil)); (err == nil) != c.login {
			t.Errorf("%s: login: %v", name, err)
		}
	}
})

// The provider's reason for refusing an access token got lost.
var _ = faulttest.Add("K9", func(t *testing.T) {
	for name, c := range map[string]struct {
		status          int
		challenge, body string
		want            string
	}{
		"scope":        {403, `Bearer realm="x", error="insufficient_scope", error_description="openid is \"missing\"", scope="openid"`, "", "insufficient_scope"},
		"in the body":  {403, "", `{"error":"insufficient_scope","error_description":"Missing openid scope"}`, "Missing openid scope"},
		"forbidden":    {403, "", "no", "403"},
		"bad request":  {400, `Bearer error="invalid_request"`, "", "invalid_request"},
		"unauthorized": {401, `Bearer error="invalid_token"`, "", "it may have expired"},
	} {
		p := newProvider(t)
		p.Info = func(w http.ResponseWriter, _ *http.Request) {
			if c.challenge != "" {
				w.Header().Set("WWW-Authenticate", c.challenge)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}
		if _, refused := p.exchange(t, object{"getUserInfo": true}, oauth.TokenTypeAccess, "opaque"); !strings.Contains(refused, c.want) {
			t.Errorf("%s: %q", name, refused)
		}
	}
})
