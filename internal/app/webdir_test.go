package app_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Directories as operators have them, from what upstream's pages are known to have in each generation: templates, fields,
// functions, classes and hooks. The pages say which of them they are, so that a built-in one isn't taken for them.
var (
	// ownParts are what all generations have.
	ownParts = map[string]string{
		"robots.txt":               "User-agent: *\nDisallow: /\n",
		"static/main.css":          ".dex-container{}",
		"static/img/ldap-icon.svg": "<svg/>",
		"themes/light/styles.css":  ".theme-body{color:black}",
		"themes/light/logo.png":    "png",
		"themes/light/favicon.png": "png",
		"themes/dark/styles.css":   ".theme-body{color:white}",
		"templates/header.html": `<!DOCTYPE html><html><head><title>{{ issuer }}</title>
			<link href="{{ url .ReqPath "static/main.css" }}" rel="stylesheet"><link href="{{ url .ReqPath "theme/styles.css" }}" rel="stylesheet">
			<link rel="icon" href="{{ url .ReqPath "theme/favicon.png" }}"></head>
			<body class="theme-body"><div class="theme-navbar"><img class="theme-navbar__logo" src="{{ url .ReqPath logo }}"></div><div class="dex-container">`,
		"templates/footer.html": `<a href="{{ "support" | extra }}">support</a></div></body></html>`,
		"templates/oob.html":    page("oob", `<input type="text" class="theme-form-input" value="{{ .Code }}">`),
		"templates/error.html":  page("error", `<h2>{{ .ErrType }}</h2>{{ if .ErrMsg }}<p>{{ .ErrMsg }}</p>{{ end }}`),
		"templates/approval.html": page("approval", `{{ if .Scopes }}<ul class="dex-list">{{ range $scope := .Scopes }}<li>{{ $scope }}</li>{{ end }}</ul>{{ end }}
			<p>{{ .Client }} {{ .User }}</p>
			<form method="post"><input type="hidden" name="req" value="{{ .AuthReqID }}"><input type="hidden" name="approval" value="approve">
			<button type="submit" class="dex-btn theme-btn--success"><span class="dex-btn-text">Grant Access</span></button></form>
			<form method="post"><input type="hidden" name="req" value="{{ .AuthReqID }}"><input type="hidden" name="approval" value="rejected">
			<button type="submit" class="dex-btn theme-btn-provider"><span class="dex-btn-text">Cancel</span></button></form>`),
		"templates/device.html": page("device", `<form method="post" action="{{ .PostURL }}">
			<input type="text" id="user_code" name="user_code" value="{{ if .UserCode }}{{ .UserCode }}{{ end }}">
			{{ if .Invalid }}<div id="login-error" class="dex-error-box">wrong</div>{{ end }}<button id="submit-login" type="submit">Submit</button></form>`),
		"templates/device_success.html": page("device_success", `<h2>{{ .ClientName }}</h2>`),
	}
	// firstGeneration is what v2.40 to v2.45 have besides.
	firstGeneration = map[string]string{
		"templates/login.html": page("login", `{{ range $c := .Connectors }}<a href="{{ $c.URL }}" target="_self"><button class="dex-btn theme-btn-provider">
			<span class="dex-btn-icon dex-btn-icon--{{ $c.Type }}"></span><span class="dex-btn-text">Log in with {{ $c.Name }}</span></button></a>{{ end }}`),
		"templates/password.html": page("password", passwordFields+`</form>{{ if .BackLink }}<a class="theme-link-back" href="{{ .BackLink }}">Select another login method.</a>{{ end }}`),
	}
	// secondGeneration is what upstream's development has besides.
	secondGeneration = map[string]string{
		"templates/login.html": page("login", `{{ range $c := .Connectors }}<a href="{{ $c.URL }}" class="dex-btn dex-btn-provider theme-btn-provider" data-id="{{ $c.ID }}">
			<span class="dex-btn-icon dex-btn-icon--{{ $c.Type }}"></span><span class="dex-btn-text">Log in with {{ $c.Name }}</span></a>{{ end }}`),
		"templates/password.html": page("password", passwordFields+`{{ if .ShowRememberMe }}<input type="checkbox" name="remember_me"
			{{ if .RememberMeChecked }}checked{{ end }}>{{ end }}</form>{{ with .BackLink }}<a class="theme-link-back" href="{{ . }}">back</a>{{ end }}`),
		"templates/home.html": page("home", `{{ if .LoggedIn }}<p>{{ .Username }} {{ .Email }} {{ if .EmailVerified }}verified{{ end }}</p>
			{{ if .SignedInISO }}<time datetime="{{ .SignedInISO }}">{{ .SignedInText }}</time>{{ end }}
			{{ if .SessionExpiresISO }}{{ if .SessionExpiryIsIdle }}idle{{ end }}<time datetime="{{ .SessionExpiresISO }}">{{ .SessionExpiresText }}</time>{{ end }}
			{{ range .Groups }}<li>{{ . }}</li>{{ end }}{{ len .Groups }}{{ .ConnectorName }}{{ .IPAddress }}{{ .UserAgent }}<a href="{{ .LogoutURL }}">out</a>{{ end }}
			<a href="{{ .DiscoveryURL }}">discovery</a>`),
		"templates/logout.html": page("logout", `{{ if .ShowConfirmation }}<form method="post"><button>yes</button></form>
			{{ else if .LoggedOut }}out{{ else }}none{{ end }}{{ if .BackURL }}<a href="{{ .BackURL }}">back</a>{{ end }}`),
		"templates/totp_verify.html": page("totp", `{{ if not (eq .QRCode "") }}<img src="data:image/png;base64,{{ .QRCode }}">{{ else }}{{ .Issuer }}{{ end }}
			<form method="post" action="{{ .PostURL }}"><input id="totp" name="totp">{{ if .Invalid }}<div id="login-error"></div>{{ end }}</form>{{ .Connector }}`),
		"templates/webauthn_verify.html": page("webauthn", `{{ if eq .Mode "register" }}register{{ else }}login{{ end }}<button id="webauthn-btn"></button>
			<script>const mode = "{{ .Mode }}", authenticator = "{{ .AuthenticatorID }}";</script>`),
	}
)

const passwordFields = `<form method="post" action="{{ .PostURL }}"><label for="userid">{{ .UsernamePrompt }}</label>
	<input id="login" name="login" placeholder="{{ .UsernamePrompt | lower }}" {{ if .Username }} value="{{ .Username }}" {{ else }} autofocus {{ end }}>
	<input id="password" name="password" type="password" {{ if .Invalid }} autofocus {{ end }}>
	{{ if .Invalid }}<div id="login-error" class="dex-error-box">Invalid {{ .UsernamePrompt }} and password.</div>{{ end }}
	<button id="submit-login" type="submit" class="dex-btn theme-btn--primary">Login</button>`

func page(name, body string) string {
	return `{{ template "header.html" . }}<div class="theme-panel" data-page="` + name + `">` + body + `</div>{{ template "footer.html" . }}`
}

// operatorsDirectory writes files, and returns the configuration that uses them.
func operatorsDirectory(t *testing.T, theme string, generations ...map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, files := range generations {
		for name, text := range files {
			name = filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return fmt.Sprintf("frontend: {dir: %q, theme: %q, issuer: Acme, extra: {support: 'https://help.test'}}\n", dir, theme)
}

// Directories made for upstream lead through a whole login, a device's login and errors.
func TestDirectoriesMadeForUpstream(t *testing.T) {
	for name, c := range map[string]struct {
		frontend string
		style    string
	}{
		"v2.40":          {operatorsDirectory(t, "tectonic", ownParts, firstGeneration), "color:black"},
		"v2.45":          {operatorsDirectory(t, "dark", ownParts, firstGeneration), "color:white"},
		"development":    {operatorsDirectory(t, "", ownParts, secondGeneration), "color:black"},
		"v2.45, by half": {operatorsDirectory(t, "light", map[string]string{"templates/error.html": ownParts["templates/error.html"]}, firstGeneration), "color-scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.frontend)
			if css := s.get("/dex/theme/styles.css").wantStatus(http.StatusOK).body; !strings.Contains(css, c.style) {
				t.Errorf("the theme is %s", css)
			}
			whole := !strings.Contains(name, "half")
			loginByPages(t, s, whole)
			deviceByPages(t, s, whole)
			errorsByPages(t, s)
			if name == "development" {
				s.get("/dex").wantPage(s, "/dex", "home", http.StatusOK)
			}
		})
	}
}

// wantPage checks which page an answer is, and that its links to files lead somewhere.
func (a answer) wantPage(s *server, at, name string, status int) answer {
	a.t.Helper()
	a.wantStatus(status)
	if !strings.Contains(a.body, `data-page="`+name+`"`) {
		a.t.Errorf("%s is not the page %s: %s", at, name, a.body)
	}
	here, err := url.Parse("http://dex.test" + at)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, link := range regexp.MustCompile(`(?:href|src)="([^"]*(?:static|theme)/[^"]*)"`).FindAllStringSubmatch(a.body, -1) {
		to, err := here.Parse(html.UnescapeString(link[1]))
		if err != nil {
			a.t.Fatal(err)
		}
		s.get(to.RequestURI()).wantStatus(http.StatusOK)
	}
	return a
}

// found returns what a pattern finds first in a page, as browsers read it.
func (a answer) found(pattern string) string {
	a.t.Helper()
	found := regexp.MustCompile("(?s)" + pattern).FindStringSubmatch(a.body)
	if found == nil {
		a.t.Fatalf("no %s in\n%s", pattern, a.body)
	}
	return html.UnescapeString(found[1])
}

// loginByPages does what a person does: it follows the links and sends the forms that the pages have.
func loginByPages(t *testing.T, s *server, whole bool) {
	t.Helper()
	b := s.browser()
	at := authPath()
	choice := b.visit(at).wantPage(s, at, "login", http.StatusOK)
	at = b.visit(choice.found(`<a href="([^"]*)"[^>]*>(?:<button[^>]*>)?\s*<span class="dex-btn-icon dex-btn-icon--local">`)).wantStatus(http.StatusFound).path()
	form := b.visit(at).wantPage(s, at, "password", http.StatusOK)
	if action := form.found(`<form method="post" action="([^"]*)"`); action != at {
		t.Errorf("the form leads to %s, not %s", action, at)
	}
	back := form.found(`class="theme-link-back" href="([^"]*)"`)
	b.visit(back).wantPage(s, back, "login", http.StatusOK)
	wrong := b.post(at, url.Values{"login": {"admin@example.com"}, "password": {"wrong"}}).wantPage(s, at, "password", http.StatusUnauthorized)
	if wrong.found(`id="login-error" class="([^"]*)"`) == "" || wrong.found(`name="login"[^>]* value="([^"]*)"`) != "admin@example.com" {
		t.Errorf("after a wrong password: %s", wrong.body)
	}
	at = b.post(at, credentials()).wantStatus(http.StatusSeeOther).path()
	consent := b.visit(at)
	answer := url.Values{"approval": {"approve"}, "req": {consent.found(`name="req" value="([^"]*)"`)}}
	if whole {
		if consent.wantPage(s, at, "approval", http.StatusOK); strings.Count(consent.body, "<li>") != 4 {
			t.Errorf("not four permissions: %s", consent.body)
		}
	}
	code := b.post(at, answer).wantStatus(http.StatusSeeOther).params().Get("code")
	got := claims(t, s.token(codeForm(code)).wantStatus(http.StatusOK).text("id_token"))
	if got["email"] != "admin@example.com" {
		t.Errorf("the claims are %v", got)
	}

	oob := b.consent("client_id", "cli", "redirect_uri", "urn:ietf:wg:oauth:2.0:oob")
	shown := b.post(oob, url.Values{"approval": {"approve"}}).wantStatus(http.StatusOK)
	if whole {
		code = shown.wantPage(s, oob, "oob", http.StatusOK).found(`value="([^"]*)"`)
		s.token(codeForm(code, "client_id", "cli", "redirect_uri", "urn:ietf:wg:oauth:2.0:oob"), noCredentials).wantStatus(http.StatusOK)
	}
}

func deviceByPages(t *testing.T, s *server, whole bool) {
	t.Helper()
	begun, b := s.device(), s.browser()
	userCode := begun.text("user_code")
	at := "/dex/device?user_code=" + userCode
	page := b.visit(at).wantStatus(http.StatusOK)
	action := page.found(`<form method="post" action="([^"]*)"`)
	if whole {
		if got := page.wantPage(s, at, "device", http.StatusOK).found(`name="user_code" value="([^"]*)"`); got != userCode {
			t.Errorf("the code is %s", got)
		}
		wrong := b.post(action, url.Values{"user_code": {"BBBB-BBBB"}}).wantPage(s, action, "device", http.StatusBadRequest)
		wrong.found(`id="(login-error)"`)
	}
	end := b.viaMock(b.typeCode(userCode, "continue")).wantStatus(http.StatusOK)
	if !strings.Contains(end.body, "App") {
		t.Errorf("the end doesn't name the application: %s", end.body)
	}
	if whole {
		end.wantPage(s, "/dex/device/callback", "device_success", http.StatusOK)
	}
	s.token(pollForm(begun.text("device_code"))).wantStatus(http.StatusOK)
}

func errorsByPages(t *testing.T, s *server) {
	t.Helper()
	for at, want := range map[string]string{"/dex/auth?client_id=nobody": "Bad Request", "/dex/no/such/page": "Not Found", "/dex/approval?req=x": "Bad Request"} {
		r := httptest.NewRequest(http.MethodGet, "http://dex.test"+at, nil)
		r.Header.Set("Accept", "text/html") // programs get JSON where there is nothing
		a := s.do(r)
		if a.wantPage(s, at, "error", a.status).found(`<h2>(.*?)</h2>`) != want || a.found(`<p>(.*?)</p>`) == "" {
			t.Errorf("%s: %s", at, a.body)
		}
	}
	b := s.browser()
	b.post(b.consent(), url.Values{"approval": {"rejected"}}).wantRedirectError("access_denied")
}
