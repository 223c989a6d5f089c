package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSignInShowsTokens(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))

	p := b.signIn()
	if got := p.text("signed-in-as"); got != "Jane Doe" {
		t.Errorf("signed in as %q", got)
	}
	for _, want := range []string{`"email": "jane@example.com"`, `"authors"`, `"sub": "CgVqYW5lEgRtb2Nr"`} {
		if !strings.Contains(p.text("claims"), want) {
			t.Errorf("claims lack %s:\n%s", want, p.text("claims"))
		}
	}

	start := b.get("/")
	start.want(http.StatusOK, "/")
	for _, want := range []string{"Jane Doe", "jane@example.com", "CgVqYW5lEgRtb2Nr", "session-1"} {
		if !strings.Contains(start.body, want) {
			t.Errorf("start page lacks %q", want)
		}
	}
}

func TestStartPageOffersScopes(t *testing.T) {
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) {
		document["scopes_supported"] = []string{"openid", "email", "groups", "profile", "offline_access", "federated:id"}
	}
	p := newBrowser(t, startApp(t, f)).get("/")
	for scope, rest := range map[string]string{
		"openid": " checked disabled", "profile": " checked", "email": " checked", "offline_access": " checked", "groups": "", "federated:id": "",
	} {
		if !strings.Contains(p.body, `value="`+scope+`"`+rest+`>`) {
			t.Errorf("no checkbox for %s with %q", scope, rest)
		}
	}
	for _, id := range []string{"login-form", "login-button"} {
		if !p.has(id) {
			t.Errorf("no element with id %s", id)
		}
	}
	if p.has("signed-in-as") || p.has("logout-link") {
		t.Error("a stranger is shown as signed in")
	}
}

func TestAuthorizationRequest(t *testing.T) {
	withoutOfflineScope := func(document map[string]any) {
		document["scopes_supported"] = []string{"openid", "email", "profile"}
	}
	withoutScopes := func(document map[string]any) { delete(document, "scopes_supported") }
	tests := map[string]struct {
		discovery func(map[string]any)
		flags     []string
		form      url.Values
		want      map[string]string
	}{
		"blank": {
			want: map[string]string{"scope": "openid profile email offline_access", "client_id": testClient, "response_type": "code", "code_challenge_method": "S256", "access_type": "", "connector_id": "", "acr_values": ""},
		},
		"chosen": {
			form: url.Values{"extra_scopes": {"groups", " email,federated:id "}, "cross_client": {"one two", "three"}, "connector_id": {"mock"}, "acr_values": {" phr "}},
			want: map[string]string{
				"scope":        "openid groups email federated:id audience:server:client_id:one audience:server:client_id:two audience:server:client_id:three",
				"connector_id": "mock", "acr_values": "phr",
			},
		},
		"nothing ticked": {
			form: url.Values{"extra_scopes": {""}},
			want: map[string]string{"scope": "openid"},
		},
		"no PKCE": {
			flags: []string{"--pkce=false"},
			want:  map[string]string{"code_challenge": "", "code_challenge_method": ""},
		},
		"offline access by parameter": {
			discovery: withoutOfflineScope,
			want:      map[string]string{"scope": "openid profile email", "access_type": "offline"},
		},
		"offline access not wanted": {
			discovery: withoutOfflineScope,
			form:      url.Values{"extra_scopes": {"email"}},
			want:      map[string]string{"scope": "openid email", "access_type": ""},
		},
		"no scopes advertised": {
			discovery: withoutScopes,
			want:      map[string]string{"scope": "openid profile email offline_access", "access_type": ""},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t)
			f.editDiscovery = tt.discovery
			b := newBrowser(t, startApp(t, f, tt.flags...))
			b.post("/login", tt.form).want(http.StatusOK, "/tokens")
			asked, _ := f.lastRequests()
			for parameter, want := range tt.want {
				if got := asked.Get(parameter); got != want {
					t.Errorf("%s = %q, want %q", parameter, got, want)
				}
			}
			if len(asked.Get("state")) < 20 || len(asked.Get("nonce")) < 20 || asked.Get("state") == asked.Get("nonce") {
				t.Errorf("weak state %q or nonce %q", asked.Get("state"), asked.Get("nonce"))
			}
		})
	}
}

func TestCallbackRefusesBadAnswers(t *testing.T) {
	edit := func(name, value string) func(*fakeProvider) {
		return func(f *fakeProvider) { f.editResponse = func(response url.Values) { response.Set(name, value) } }
	}
	claim := func(name string, value any) func(*fakeProvider) {
		return func(f *fakeProvider) { f.editClaims = func(claims map[string]any) { claims[name] = value } }
	}
	tests := map[string]struct {
		bend   func(*fakeProvider)
		status int
		says   string
	}{
		"wrong state":   {edit("state", "other"), 400, "state"},
		"no state":      {edit("state", ""), 400, "state"},
		"wrong issuer":  {edit("iss", "https://evil.example.com"), 400, "https://evil.example.com"},
		"no code":       {edit("code", ""), 400, "neither a code nor an error"},
		"unknown code":  {edit("code", "guessed"), 400, "invalid_grant"},
		"wrong nonce":   {claim("nonce", "other"), 502, "nonce"},
		"no nonce":      {claim("nonce", ""), 502, "nonce"},
		"other issuer":  {claim("iss", "https://evil.example.com"), 502, "different provider"},
		"other client":  {claim("aud", "another"), 502, "audience"},
		"other party":   {claim("azp", "another"), 502, "another"},
		"expired":       {claim("exp", 1), 502, "expired"},
		"wrong at_hash": {claim("at_hash", halfHash("another token")), 502, "access token hash"},
		"missing issuer": {
			func(f *fakeProvider) { f.editResponse = func(response url.Values) { response.Del("iss") } }, 400, "no iss",
		},
		"no ID token": {
			func(f *fakeProvider) { f.editTokens = func(response map[string]any) { delete(response, "id_token") } }, 502, "no ID token",
		},
		"forged ID token": {
			func(f *fakeProvider) {
				f.editTokens = func(response map[string]any) {
					token := response["id_token"].(string)
					response["id_token"] = token[:strings.LastIndex(token, ".")+1] + "AAAA"
				}
			}, 502, "signature",
		},
		"response without end": {
			func(f *fakeProvider) {
				f.editTokens = func(response map[string]any) { response["padding"] = strings.Repeat("x", maxProviderBody) }
			}, 502, "too large",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t)
			tt.bend(f)
			b := newBrowser(t, startApp(t, f))
			b.post("/login", nil).wantError(tt.status, tt.says)
			if b.get("/").has("signed-in-as") {
				t.Error("signed in nevertheless")
			}
		})
	}
}

func TestCallbackShowsOAuthError(t *testing.T) {
	f := newFakeProvider(t)
	f.editResponse = func(response url.Values) {
		response.Del("code")
		response.Set("error", "access_denied")
		response.Set("error_description", "<b>not</b> in the group")
	}
	p := newBrowser(t, startApp(t, f)).post("/login", nil)
	p.wantError(http.StatusBadRequest, "access_denied", "<b>not</b> in the group")
	if strings.Contains(p.body, "<b>") {
		t.Error("description not escaped")
	}
}

func TestIssuerNotPromisedNeedNotBeSent(t *testing.T) {
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) { delete(document, "authorization_response_iss_parameter_supported") }
	f.editResponse = func(response url.Values) { response.Del("iss") }
	newBrowser(t, startApp(t, f)).signIn()
}

func TestStateIsGoodForOneUse(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.signIn()
	asked, _ := f.lastRequests()
	callback := "/callback?" + url.Values{"state": {asked.Get("state")}, "code": {"code-1"}, "iss": {f.issuer()}}.Encode()

	// Reloading shows the result there is, without redeeming anything.
	b.get(callback).want(http.StatusOK, "/tokens")
	// In another browser the state is unknown.
	newBrowser(t, b.base).get(callback).wantError(http.StatusBadRequest, "state")
}

func TestStateExpires(t *testing.T) {
	s := &session{}
	login := pendingLogin{state: "s", started: testTime}
	s.addLogin(login)
	if _, ok := s.takeLogin("s", testTime.Add(loginLifetime)); ok {
		t.Error("a state of ten minutes ago still works")
	}
}

func TestFewPendingLoginsAreKept(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f))
	b.stopAtRedirects()
	first := b.post("/login", nil).header.Get("Location")
	for range maxLogins {
		b.post("/login", nil)
	}
	request, err := url.Parse(first)
	if err != nil || request.Query().Get("state") == "" {
		t.Fatalf("no state in %q", first)
	}
	b.get("/callback?code=c&state="+request.Query().Get("state")).wantError(http.StatusBadRequest, "state")
}

func TestCallbackPathIsThatOfTheRedirectURI(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startAppAt(t, f, "/oidc/{return}/here"))
	b.signIn()
	b.get("/callback").wantError(http.StatusNotFound)
}

func TestPublicClientSendsNoSecret(t *testing.T) {
	f := newFakeProvider(t)
	b := newBrowser(t, startApp(t, f, "--client-secret", ""))
	f.token = func(w http.ResponseWriter, r *http.Request) {
		_, _, basic := r.BasicAuth()
		if basic || r.FormValue("client_id") != testClient || r.PostForm.Has("client_secret") {
			writeOAuthError(w, "invalid_client", "authenticated")
			return
		}
		writeOAuthError(w, "invalid_grant", "as it should be")
	}
	b.post("/login", nil).wantError(http.StatusBadRequest, "as it should be")
}
