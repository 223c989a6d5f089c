package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestOAuth2ProxySignsIn runs the newest oauth2-proxy, and looks at what it sends and what it makes of the answers.
func TestOAuth2ProxySignsIn(t *testing.T) {
	t.Parallel()
	s := startGuardedSite(t, nil)
	for name, check := range map[string]func(*guardedSite, *testing.T){
		"S0-15: what Dex refuses, another redirect URI among it":                        (*guardedSite).checkRefused,
		"S0-18: the article's arguments, and consent although skipApprovalScreen is on": (*guardedSite).checkArticle,
		"S0-19: client and cookie secret in the environment":                            (*guardedSite).checkSecrets,
		"S0-20: the issuers must be equal":                                              (*guardedSite).checkIssuers,
		"S0-26: each partner's proxy offers its own connector":                          (*guardedSite).checkPartners,
		"S0-28: PKCE and nonce with the newest release":                                 (*guardedSite).checkPKCE,
		"consent":          (*guardedSite).checkConsent,
		"state and cookie": (*guardedSite).checkState,
		"two tabs at once": (*guardedSite).checkTabs,
		"unverified email": (*guardedSite).checkUnverified,
		"who may come in":  (*guardedSite).checkAllowed,
		"groups":           (*guardedSite).checkGroups,
		"bearer tokens":    (*guardedSite).checkBearer,
		"signing out":      (*guardedSite).checkSignOut,
	} {
		t.Run(name, func(t *testing.T) { check(s, t) })
	}
}

func (s *guardedSite) checkArticle(t *testing.T) {
	p := s.startProxy(t)
	a := p.mustEnter(t)
	if !a.consented {
		t.Error("there is no consent page")
	}
	asks := s.gate.asks()
	for name, want := range map[string]string{
		"approval_prompt": "force", "client_id": proxyClientID, "redirect_uri": p.url + "/oauth2/callback", "response_type": "code",
		"scope": "openid profile email", "nonce": "", "code_challenge": "", "prompt": "", "access_type": "",
	} {
		if got := asks.Get(name); got != want {
			t.Errorf("it asks with %s=%q, want %q", name, got, want)
		}
	}
	requests := s.gate.requests("authorization_code")
	last := requests[len(requests)-1]
	// As a form encodes them (RFC 6749, 2.3.1).
	r := &http.Request{Header: last.header}
	if user, password, _ := r.BasicAuth(); user != url.QueryEscape(proxyClientID) || password != url.QueryEscape(proxyClientSecret) {
		t.Errorf("it authenticates as %q with %q", user, password)
	}
	if last.form.Has("client_secret") || last.form.Get("redirect_uri") != p.url+"/oauth2/callback" {
		t.Errorf("its token request is %v", last.form)
	}

	if got := a.userInfo(t, p); got.Email != "kilgore@kilgore.trout" || got.Groups != nil {
		t.Errorf("/oauth2/userinfo shows %+v", got)
	}
	if got := a.ask(t, p.url+"/oauth2/auth"); got.status != http.StatusAccepted {
		t.Errorf("/oauth2/auth answers %d", got.status)
	}
	stranger := &arrival{visitor: newVisitor(newTransport(nil))}
	if got := stranger.ask(t, p.url+"/oauth2/auth"); got.status != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d from /oauth2/auth", got.status)
	}
	if got := stranger.ask(t, p.url+"/report"); got.status != http.StatusForbidden || !strings.Contains(got.body, "Sign in with") {
		t.Errorf("a stranger gets %d, and not the page with the button:\n%s", got.status, got.body)
	}
}

func (s *guardedSite) checkSecrets(t *testing.T) {
	p := s.startProxy(t, "--client-secret=wrong", "--approval-prompt=auto")
	if a := p.enter(t); a.status != http.StatusInternalServerError {
		t.Errorf("with a wrong client secret the visitor gets %d at %s", a.status, a.url)
	}
	p.wantLog(t, `token exchange failed: oauth2: "invalid_client" "Invalid client credentials."`)

	short := s.runProxy(t, s.issuer, "--cookie-secret=short")
	<-short.ended
	short.wantLog(t, "cookie_secret must be 16, 24, or 32 bytes to create an AES cipher")
}

func (s *guardedSite) checkIssuers(t *testing.T) {
	for name, test := range map[string]struct{ issuer, says string }{
		"another name": {
			strings.Replace(s.issuer, "127.0.0.1", "localhost", 1),
			"issuer did not match the issuer returned by provider, expected",
		},
		"a slash more": {s.issuer + "/", "issuer did not match the issuer returned by provider, expected"},
		"https":        {strings.Replace(s.issuer, "http:", "https:", 1), "server gave HTTP response to HTTPS client"},
		"another path": {s.issuer + "/nothing", `unexpected status "404"`},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.runProxy(t, test.issuer)
			<-p.ended
			if got := p.cmd.ProcessState.ExitCode(); got != 1 {
				t.Errorf("exit status %d", got)
			}
			p.wantLog(t, test.says)
		})
	}
}

func (s *guardedSite) checkPartners(t *testing.T) {
	for client, email := range map[string]string{
		proxyClientID: "kilgore@kilgore.trout", localClientID: adminEmail, manyClientID: "jane@example.com",
	} {
		p := s.startProxy(t, "--client-id="+client, "--approval-prompt=auto")
		if got := p.mustEnter(t).userInfo(t, p).Email; got != email {
			t.Errorf("the proxy of the client %s lets %s in, want %s", client, got, email)
		}
	}
	// Nor can its visitors choose another one by hand.
	p := s.startProxy(t, "--approval-prompt=auto")
	v := &arrival{visitor: newVisitor(newTransport(nil))}
	v.ask(t, p.url+"/oauth2/start")
	asks := s.gate.asks()
	asks.Set("connector_id", "local")
	if got := v.ask(t, s.issuer+"/auth?"+asks.Encode()); strings.Contains(got.url.Path, "local") || strings.Contains(got.body, `name="password"`) {
		t.Errorf("another partner's connector shows its form at %s", got.url)
	}
}

func (s *guardedSite) checkPKCE(t *testing.T) {
	p := s.startProxy(t, "--code-challenge-method=S256", "--insecure-oidc-skip-nonce=false", "--approval-prompt=auto")
	p.mustEnter(t)
	asks := s.gate.asks()
	if asks.Get("code_challenge_method") != "S256" || len(asks.Get("code_challenge")) != 43 || asks.Get("nonce") == "" {
		t.Errorf("it asks with %v", asks)
	}
	requests := s.gate.requests("authorization_code")
	if verifier := requests[len(requests)-1].form.Get("code_verifier"); len(verifier) < 43 {
		t.Errorf("its verifier is %q", verifier)
	}
}

func (s *guardedSite) checkConsent(t *testing.T) {
	for flag, asked := range map[string]bool{
		"--approval-prompt=force": true, "--approval-prompt=auto": false, "--prompt=login": false, "--prompt=consent": true,
	} {
		if a := s.startProxy(t, flag).mustEnter(t); a.consented != asked {
			t.Errorf("%s: the consent page was shown: %v", flag, a.consented)
		}
	}
}

// begin logs in as far as Dex's answer, and returns that.
func (a *arrival) begin(t *testing.T, p *authProxy) (callback *url.URL) {
	t.Helper()
	was := a.visitor.http.CheckRedirect
	defer func() { a.visitor.http.CheckRedirect = was }()
	a.visitor.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/oauth2/callback") {
			callback = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	if got := a.ask(t, p.url+"/oauth2/start?rd=/report"); callback == nil {
		t.Fatalf("no answer from Dex, but %d at %s", got.status, got.url)
	}
	return callback
}

func (s *guardedSite) checkState(t *testing.T) {
	p := s.startProxy(t, "--approval-prompt=auto")
	own := &arrival{visitor: newVisitor(newTransport(nil))}
	callback := own.begin(t, p)
	stranger := &arrival{visitor: newVisitor(newTransport(nil))}
	if got := stranger.ask(t, callback.String()); got.status != http.StatusForbidden {
		t.Errorf("another browser with the answer gets %d", got.status)
	}
	p.wantLog(t, "unable to obtain CSRF cookie")
	other := *callback
	query := callback.Query()
	query.Set("state", "another"+query.Get("state"))
	other.RawQuery = query.Encode()
	if got := own.ask(t, other.String()); got.status != http.StatusForbidden {
		t.Errorf("another state gets %d", got.status)
	}
}

// Both tabs of an expired session begin a login. The guide's flag lets both finish it.
func (s *guardedSite) checkTabs(t *testing.T) {
	for flag, want := range map[string]int{
		"--cookie-csrf-per-request=true": http.StatusOK, "--cookie-csrf-per-request=false": http.StatusForbidden,
	} {
		p := s.startProxy(t, "--approval-prompt=auto", flag)
		a := &arrival{visitor: newVisitor(newTransport(nil))}
		first, second := a.begin(t, p), a.begin(t, p)
		if got := a.ask(t, first.String()); got.status != want {
			t.Errorf("%s: the first tab gets %d, want %d", flag, got.status, want)
		}
		if got := a.ask(t, second.String()); want == http.StatusOK && got.status != want {
			t.Errorf("%s: the second tab gets %d", flag, got.status)
		}
	}
}

func (s *guardedSite) checkUnverified(t *testing.T) {
	p := s.startProxy(t, "--client-id="+doubtfulClientID)
	if a := p.enter(t); a.status != http.StatusForbidden {
		t.Errorf("an unverified address gets %d", a.status)
	}
	p.wantLog(t, "email in id_token (jane@example.com) isn't verified")
	s.startProxy(t, "--client-id="+doubtfulClientID, "--insecure-oidc-allow-unverified-email").mustEnter(t)
}

func (s *guardedSite) checkAllowed(t *testing.T) {
	const withGroups = "--scope=openid profile email groups"
	for name, test := range map[string]struct {
		flags []string
		in    bool
	}{
		"their domain":                {[]string{"--email-domain=kilgore.trout"}, true},
		"another domain":              {[]string{"--email-domain=example.com"}, false},
		"their group":                 {[]string{withGroups, "--allowed-group=authors"}, true},
		"another group":               {[]string{withGroups, "--allowed-group=admins"}, false},
		"their group, another domain": {[]string{withGroups, "--allowed-group=authors", "--email-domain=example.com"}, false},
		"a domain and all domains":    {[]string{"--email-domain=example.com", "--email-domain=*"}, true},
		"their group, but no scope":   {[]string{"--allowed-group=authors"}, false},
		"their group, default scopes": {[]string{"--scope=", "--allowed-group=authors"}, true},
	} {
		p := s.startProxy(t, append(test.flags, "--approval-prompt=auto")...)
		switch a := p.enter(t); {
		case test.in:
			a.wantIn(t, p)
		case a.status != http.StatusForbidden:
			t.Errorf("%s: status %d", name, a.status)
		default:
			p.wantLog(t, "[AuthFailure] Invalid authentication via OAuth2: unauthorized")
		}
	}
}

func (s *guardedSite) checkGroups(t *testing.T) {
	p := s.startProxy(t, "--scope=openid profile email groups", "--set-xauthrequest", "--approval-prompt=auto")
	a := p.mustEnter(t)
	if got := a.userInfo(t, p).Groups; !slices.Equal(got, []string{"authors"}) {
		t.Errorf("groups %v", got)
	}
	answer := a.ask(t, p.url+"/oauth2/auth")
	for name, want := range map[string]string{
		"X-Auth-Request-Email": "kilgore@kilgore.trout", "X-Auth-Request-Groups": "authors",
	} {
		if got := answer.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for group, want := range map[string]int{"authors": http.StatusAccepted, "admins": http.StatusForbidden} {
		if got := a.ask(t, p.url+"/oauth2/auth?allowed_groups="+group).status; got != want {
			t.Errorf("/oauth2/auth?allowed_groups=%s answers %d, want %d", group, got, want)
		}
	}
}

func (s *guardedSite) checkBearer(t *testing.T) {
	p := s.startProxy(t, "--skip-jwt-bearer-tokens", "--set-authorization-header", "--approval-prompt=auto")
	status := func(p *authProxy, token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/oauth2/auth", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := newVisitor(newTransport(nil)).visit(r)
		if err != nil {
			t.Fatal(err)
		}
		return answer.status
	}
	own := strings.TrimPrefix(p.mustEnter(t).ask(t, p.url+"/oauth2/auth").header.Get("Authorization"), "Bearer ")
	others := s.mustLogin(t, "mock").IDToken
	if got := status(p, own); got != http.StatusAccepted {
		t.Errorf("a token for the proxy itself gets %d", got)
	}
	if got := status(p, others); got == http.StatusAccepted {
		t.Error("a token for another client is accepted")
	}
	if got := status(p, own[:len(own)-20]+others[len(others)-20:]); got == http.StatusAccepted {
		t.Error("a token with another signature is accepted")
	}
	more := s.startProxy(t, "--skip-jwt-bearer-tokens", "--oidc-extra-audience="+clientID)
	if got := status(more, others); got != http.StatusAccepted {
		t.Errorf("a token for an extra audience gets %d", got)
	}
}

func (s *guardedSite) checkSignOut(t *testing.T) {
	p := s.startProxy(t, "--client-id="+localClientID, "--approval-prompt=auto")
	a := p.mustEnter(t)
	a.visitor.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// Elsewhere only with --whitelist-domain.
	for rd, want := range map[string]string{"/signed-out": "/signed-out", "https://elsewhere.test/": "/"} {
		if got := a.ask(t, p.url+"/oauth2/sign_out?rd="+url.QueryEscape(rd)); got.status != http.StatusFound || got.header.Get("Location") != want {
			t.Errorf("sign_out?rd=%s answers %d and leads to %s", rd, got.status, got.header.Get("Location"))
		}
	}
	if got := a.ask(t, p.url+"/oauth2/auth"); got.status != http.StatusUnauthorized {
		t.Errorf("after signing out, /oauth2/auth answers %d", got.status)
	}
	// Without sessions, Dex keeps nobody signed in either.
	a.visitor.http.CheckRedirect = nil
	if got := a.ask(t, p.url+"/oauth2/start"); !strings.Contains(got.body, `name="password"`) {
		t.Errorf("after signing out, a new login leads to %s", got.url)
	}
}

func (s *guardedSite) checkRefused(t *testing.T) {
	p := s.startProxy(t, "--scope=profile email")
	a := p.enter(t)
	if a.status != http.StatusForbidden || !strings.Contains(a.body, "invalid_scope") {
		t.Errorf("without the scope openid the visitor gets %d:\n%s", a.status, a.body)
	}

	p = s.startProxy(t)
	a = &arrival{visitor: newVisitor(newTransport(nil))}
	form := a.ask(t, p.url+"/oauth2/start")
	denied, err := a.visitor.answerConsent(t.Context(), form, "rejected")
	if err != nil {
		t.Fatal(err)
	}
	if denied.status != http.StatusForbidden || !strings.Contains(denied.body, "access_denied") {
		t.Errorf("who denies consent gets %d:\n%s", denied.status, denied.body)
	}

	p = s.startProxy(t, "--redirect-url="+p.url+"/elsewhere")
	if a := p.enter(t); a.status != http.StatusBadRequest || !strings.Contains(a.body, "not registered") {
		t.Errorf("an unregistered redirect URI gets %d:\n%s", a.status, a.body)
	}
}
