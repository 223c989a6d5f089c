package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/config"
	"dex/internal/connector"
)

func TestSettings(t *testing.T) {
	good := object{"issuer": "https://idp.test", "clientID": "dex"}
	for name, c := range map[string]struct {
		more object
		want string // in the problems
		fine bool   // no more than a warning
	}{
		"nothing wrong":            {nil, "", true},
		"no issuer":                {object{"issuer": nil}, "issuer: is missing", false},
		"issuer is no URL":         {object{"issuer": "idp.test"}, "issuer: must be an http or https URL", false},
		"hosted domains":           {object{"hostedDomains": []string{"example.com"}}, "google", false},
		"groups filter":            {object{"claimModifications": object{"filterGroupClaims": object{"groupsFilter": "("}}}, "groupsFilter: is no regular expression", false},
		"PKCE":                     {object{"pkceChallenge": "s256"}, "pkceChallenge: must be one of S256, plain, none", false},
		"authentication":           {object{"clientAuthMethod": "basic"}, "clientAuthMethod: must be one of", false},
		"key without its method":   {object{"clientKey": "key.pem"}, "clientKey: goes with", false},
		"skew":                     {object{"clockSkew": "1h"}, "clockSkew: must be between", false},
		"ACR":                      {object{"verifyACR": true}, "verifyACR: needs acrValues", false},
		"override is no URL":       {object{"providerDiscoveryOverrides": object{"endSessionURL": "javascript:1"}}, "endSessionURL: must be", false},
		"overrides":                {object{"providerDiscoveryOverrides": object{"tokenURL": "https://x.test"}}, "sign in as anybody", true},
		"groups without groups":    {object{"allowedGroups": []string{"a"}}, "is held to although", true},
		"machines only":            {object{"clientID": nil}, "clientID: is missing, so nobody can log in", true},
		"machines of one audience": {object{"clientID": nil, "exchangeAudiences": []string{"x"}}, "", true},
		"no iss, shared callback":  {object{"insecureSkipIss": true, "redirectURI": "https://id.test/callback"}, "redirectURI of its own", true},
		"no iss, own callback":     {object{"insecureSkipIss": true, "redirectURI": "https://id.test/callback/a"}, "", true},
		"unknown key":              {object{"clientSecrt": "x"}, "clientSecret", true},
		"keys in any case":         {object{"clientID": nil, "CLIENTID": "dex", "rootcas": []string{}}, "", true},
	} {
		_, problems := decode(t, merged(good, c.more))
		if text := problemTexts(problems); problems.HasErrors() == c.fine || !strings.Contains(text, c.want) || c.want == "" && text != "" {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func problemTexts(problems config.Problems) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

func TestRequestToTheProvider(t *testing.T) {
	minute := time.Minute
	offline := connector.Scopes{OfflineAccess: true}
	for name, c := range map[string]struct {
		settings, discovery object
		request             connector.LoginRequest
		want                map[string]string // "" means absent
	}{
		"defaults": {nil, nil, connector.LoginRequest{}, map[string]string{
			"own": "1", "client_id": "dex", "redirect_uri": callbackURL, "response_type": "code", "scope": "openid profile email",
			"state": "the state", "prompt": "", "access_type": "", "code_challenge": "", "acr_values": "", "response_mode": "",
		}},
		"offline": {nil, nil, connector.LoginRequest{Scopes: offline}, map[string]string{
			"access_type": "offline", "prompt": "consent", "scope": "openid profile email",
		}},
		"offline scope is advertised": {nil, object{"scopes_supported": []string{"openid", "offline_access"}},
			connector.LoginRequest{Scopes: offline}, map[string]string{"scope": "openid profile email"}},
		"own scopes and prompt": {object{"scopes": []string{"openid", "groups"}, "promptType": "select_account"}, nil,
			connector.LoginRequest{Scopes: offline, Prompt: []string{"login"}},
			map[string]string{"scope": "openid groups", "prompt": "login"}},
		"hints": {object{"acrValues": []string{"gold"}, "responseMode": "form_post"}, nil, connector.LoginRequest{
			MaxAge: &minute, LoginHint: "jane", UILocales: "de", ACRValues: "silver gold",
		}, map[string]string{
			"max_age": "60", "login_hint": "jane", "ui_locales": "de", "acr_values": "gold silver", "response_mode": "form_post",
		}},
		"S256 when there is a choice": {nil, object{"code_challenge_methods_supported": []string{"plain", "S256"}},
			connector.LoginRequest{}, map[string]string{"code_challenge_method": "S256"}},
		"S256 with overrides too": {
			object{"providerDiscoveryOverrides": object{"tokenURL": "https://other.test/token"}},
			object{"code_challenge_methods_supported": []string{"S256"}},
			connector.LoginRequest{}, map[string]string{"code_challenge_method": "S256"}},
		"plain":      {object{"pkceChallenge": "plain"}, nil, connector.LoginRequest{}, map[string]string{"code_challenge_method": "plain"}},
		"configured": {object{"pkceChallenge": "S256"}, nil, connector.LoginRequest{}, map[string]string{"code_challenge_method": "S256"}},
		"switched off": {object{"pkceChallenge": "none"}, object{"code_challenge_methods_supported": []string{"S256"}},
			connector.LoginRequest{}, map[string]string{"code_challenge_method": "", "code_challenge": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Discovery = c.discovery
			got, _ := p.begin(p.open(c.settings), c.request)
			for key, want := range c.want {
				if got.Get(key) != want {
					t.Errorf("%s is %q, want %q", key, got.Get(key), want)
				}
			}
			if len(got.Get("nonce")) < 20 {
				t.Errorf("nonce is %q", got.Get("nonce"))
			}
		})
	}
}

func TestEmptyPromptIsSent(t *testing.T) {
	p := newProvider(t)
	got, _ := p.begin(p.open(object{"promptType": ""}), connector.LoginRequest{Scopes: connector.Scopes{OfflineAccess: true}})
	if !got.Has("prompt") || got.Get("prompt") != "" {
		t.Errorf("prompt is %q", got["prompt"])
	}
}

func TestCodeIsBoundToUs(t *testing.T) {
	for method, expected := range map[string]func(verifier string) string{
		"plain": func(verifier string) string { return verifier },
		"S256": func(verifier string) string {
			sum := sha256.Sum256([]byte(verifier))
			return base64.RawURLEncoding.EncodeToString(sum[:])
		},
	} {
		p := newProvider(t)
		c := p.open(object{"pkceChallenge": method})
		sent, data := p.begin(c, connector.LoginRequest{})
		if _, err := p.back(c, data, url.Values{"code": {"the code"}}); err != nil {
			t.Fatal(err)
		}
		if got := p.Form.Get("code_verifier"); len(got) != 43 || expected(got) != sent.Get("code_challenge") {
			t.Errorf("%s: verifier %q, challenge %q", method, got, sent.Get("code_challenge"))
		}
		if p.Form.Get("code") != "the code" || p.Form.Get("redirect_uri") != callbackURL {
			t.Errorf("the token request is %v", p.Form)
		}
	}
}

func TestAnswersOfTheProvider(t *testing.T) {
	for name, c := range map[string]struct {
		answer    url.Values
		discovery object
		denied    bool
		fine      bool
	}{
		"code":              {url.Values{"code": {"x"}}, nil, false, true},
		"cancelled":         {url.Values{"error": {"access_denied"}}, nil, true, false},
		"login required":    {url.Values{"error": {"login_required"}}, nil, true, false},
		"fault":             {url.Values{"error": {"server_error"}, "error_description": {"oops"}}, nil, false, false},
		"nothing":           {url.Values{}, nil, false, false},
		"another provider":  {url.Values{"code": {"x"}, "iss": {"https://evil.test"}}, nil, false, false},
		"promised, missing": {url.Values{"code": {"x"}}, object{"authorization_response_iss_parameter_supported": true}, false, false},
	} {
		p := newProvider(t)
		p.Discovery = c.discovery
		conn := p.open(nil)
		_, data := p.begin(conn, connector.LoginRequest{})
		_, err := p.back(conn, data, c.answer)
		_, isDenied := errors.AsType[*connector.Denied](err)
		if (err == nil) != c.fine || isDenied != c.denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newProvider(t)
	conn := p.open(nil)
	_, data := p.begin(conn, connector.LoginRequest{})
	posted := httptest.NewRequest(http.MethodPost, callbackURL, strings.NewReader("code=x&iss="+url.QueryEscape(p.URL)))
	posted.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := posted.ParseForm(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.HandleCallback(t.Context(), connector.Return{CallbackURL: callbackURL, Data: data, Request: posted}); err != nil {
		t.Errorf("answer by a form: %v", err)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	hour := time.Hour
	for name, c := range map[string]struct {
		settings, idToken, answer object
		setup                     func(*provider)
		fine                      bool
	}{
		"good":                 {fine: true},
		"another client's":     {idToken: object{"aud": "other"}},
		"given to another":     {idToken: object{"aud": []string{"dex", "other"}, "azp": "other"}},
		"for several":          {idToken: object{"aud": []string{"dex", "other"}, "azp": "dex"}, fine: true},
		"another issuer's":     {idToken: object{"iss": "https://evil.test"}},
		"alias":                {settings: object{"issuerAlias": "https://alias.test"}, idToken: object{"iss": "https://alias.test"}, fine: true},
		"issuer, with alias":   {settings: object{"issuerAlias": "https://alias.test"}},
		"expired":              {idToken: object{"exp": time.Now().Add(-time.Minute).Unix()}},
		"expired just now":     {idToken: object{"exp": time.Now().Add(-3 * time.Second).Unix()}, fine: true},
		"never expires":        {idToken: object{"exp": nil}},
		"not yet":              {idToken: object{"nbf": time.Now().Add(hour).Unix()}},
		"another login's":      {idToken: object{"nonce": "other"}},
		"without a nonce":      {idToken: object{"nonce": nil}},
		"other access token":   {idToken: object{"at_hash": "AAAA"}},
		"its access token":     {idToken: object{"at_hash": "P_2nrtiRbThHu6YzTDhIHA"}, answer: object{"access_token": "access"}, fine: true},
		"no ID token":          {answer: object{"id_token": nil}},
		"no access token":      {answer: object{"access_token": nil}},
		"no subject":           {idToken: object{"sub": nil}},
		"symmetric":            {setup: func(p *provider) { p.Algorithm = jose.HS256 }},
		"unknown key":          {setup: func(p *provider) { p.KeyID = "2" }},
		"ACR":                  {settings: object{"acrValues": []string{"gold"}, "verifyACR": true}, idToken: object{"acr": "tin"}},
		"ACR as wanted":        {settings: object{"acrValues": []string{"gold"}, "verifyACR": true}, idToken: object{"acr": "gold"}, fine: true},
		"userinfo of another":  {settings: object{"getUserInfo": true}, setup: func(p *provider) { p.UserInfo = object{"sub": "sub-2"} }},
		"userinfo of the same": {settings: object{"getUserInfo": true}, setup: func(p *provider) { p.UserInfo = object{"sub": "sub-1"} }, fine: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			sum := sha256.Sum256([]byte("access"))
			if name == "its access token" {
				c.idToken["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16])
			}
			p.IDToken, p.Answer = c.idToken, c.answer
			if c.setup != nil {
				c.setup(p)
			}
			if id, err := p.signIn(p.open(c.settings)); (err == nil) != c.fine {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
}

func TestWhoWeAre(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	odd := object{"clientID": "dex", "clientSecret": "s&c ret"}
	onlyBody := func(r *http.Request) (int, string) {
		if _, _, basic := r.BasicAuth(); basic {
			return http.StatusUnauthorized, "invalid_client"
		}
		return 0, ""
	}
	for name, c := range map[string]struct {
		settings, discovery object
		refuse              func(*http.Request) (int, string)
		basic               string // the password in the header
		body                string // the secret in the body
		asked               int    // for two logins
	}{
		"basic":              {settings: odd, basic: "s%26c+ret", asked: 2},
		"only post is there": {settings: odd, discovery: object{"token_endpoint_auth_methods_supported": []string{"client_secret_post"}}, body: "s&c ret", asked: 2},
		"basic is refused":   {settings: odd, refuse: onlyBody, body: "s&c ret", asked: 3},
		"basic unsupported":  {settings: merged(odd, object{"basicAuthUnsupported": true}), body: "s&c ret", asked: 2},
		"configured":         {settings: merged(odd, object{"clientAuthMethod": "client_secret_post"}), body: "s&c ret", asked: 2},
		"without a secret":   {settings: object{"clientSecret": nil}, asked: 2},
		"signed by a key":    {settings: object{"clientAuthMethod": "private_key_jwt", "clientKey": file}, asked: 2},
		"all are refused":    {settings: odd, refuse: func(*http.Request) (int, string) { return http.StatusBadRequest, "invalid_grant" }, body: "s&c ret", asked: 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Discovery, p.Refuse = c.discovery, c.refuse
			conn := p.open(c.settings)
			for range 2 {
				if _, err := p.signIn(conn); (err != nil) != (name == "all are refused") {
					t.Fatal(err)
				}
			}
			basic := ""
			if p.User != nil {
				basic, _ = p.User.Password()
			}
			if basic != c.basic || p.Form.Get("client_secret") != c.body || p.Asked["/token"] != c.asked {
				t.Errorf("header %q, body %q, asked %d times", basic, p.Form.Get("client_secret"), p.Asked["/token"])
			}
			if name != "signed by a key" {
				return
			}
			signed, err := jose.ParseSignedCompact(p.Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatal(err)
			}
			if said, err := signed.Verify(key.Public()); err != nil || !strings.Contains(string(said), `"sub":"dex"`) {
				t.Errorf("%s, %v", said, err)
			}
		})
	}
}
