package ui_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/ui"
)

// Unusable directories stop the start, with an error that says what to fix.
func TestStartFails(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		theme string
		want  []string // in the error
	}{
		"syntax error": {
			files: map[string]string{"templates/login.html": "<p>\n{{ if }}\n"},
			want:  []string{"login.html:2", "missing value for if"},
		},
		"unknown function": {
			files: map[string]string{"templates/device.html": "{{ nosuch .PostURL }}"},
			want:  []string{"device.html:1", `"nosuch"`},
		},
		"misspelt function": {
			files: map[string]string{"templates/device.html": "\n{{ lowr .PostURL }}"},
			want:  []string{"device.html:2", `"lowr"`, "did you mean lower?"},
		},
		"misspelt field": {
			files: map[string]string{"templates/password.html": "\n{{ .Usrname }}"},
			want:  []string{"password.html:2", "Usrname", "did you mean .Username?"},
		},
		"misspelt field of a connector": {
			files: map[string]string{"templates/login.html": "{{ range .Connectors }}\n{{ .Namee }}{{ end }}"},
			want:  []string{"login.html:2", "did you mean .Name?"},
		},
		"misspelt field in a partial": {
			files: map[string]string{"templates/header.html": "\n\n{{ .ReqPth }}"},
			want:  []string{"header.html:3", "did you mean .ReqPath?"},
		},
		"misspelt method": {
			files: map[string]string{"templates/home.html": `{{ .Plan "Log out" }}`},
			want:  []string{"home.html:1", "did you mean .Plain?"},
		},
		"misspelt include": {
			files: map[string]string{"templates/oob.html": `{{ template "haeder.html" . }}`},
			want:  []string{"oob.html:1", "did you mean header.html?"},
		},
		"unknown field": {
			files: map[string]string{"templates/password.html": "\n\n{{ .Passwort }}"},
			want:  []string{"password.html:3", "Passwort", "there are ", ".Username"},
		},
		"unknown include": {
			files: map[string]string{"templates/error.html": `{{ template "head.html" . }}`},
			want:  []string{"error.html", "head.html"},
		},
		"unsafe template": {
			files: map[string]string{"templates/oob.html": `<a href="{{ if .Code }}'{{ else }}"{{ end }}>`},
			want:  []string{"oob.html"},
		},
		"misspelt theme": {
			files: map[string]string{"themes/acme/styles.css": ""},
			theme: "acne",
			want:  []string{`"acne"`, "acme, auto, dark, light"},
		},
		"theme outside themes": {theme: "../static", want: []string{`"../static"`, "auto, dark, light"}},
		"theme is the folder":  {theme: ".", want: []string{`"."`}},
		"theme is a file":      {files: map[string]string{"themes/x.css": ""}, theme: "x.css", want: []string{`"x.css"`}},
		"theme with a separator": {
			files: map[string]string{"themes/a/b/styles.css": ""}, theme: "a/b", want: []string{`"a/b"`, "a, auto"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := webDir(t, test.files)
			_, err := ui.New(ui.Config{Dir: dir, Theme: test.theme}, slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("it starts")
			}
			if !containsAll(err.Error(), append(test.want, dir)) {
				t.Errorf("error %q, want it to have %q and the directory", err, test.want)
			}
		})
	}
}

func TestStartFailsWithoutDirectory(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "nowhere")
	_, err := ui.New(ui.Config{Dir: missing}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing directory: %v", err)
	}
	file := filepath.Join(webDir(t, map[string]string{"web": ""}), "web")
	if _, err := ui.New(ui.Config{Dir: file}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as directory: %v", err)
	}
}

func TestMissingFilesAreBuiltIn(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty":           {},
		"one page":        {"templates/login.html": "mine"},
		"partials only":   {"templates/header.html": "<p>head</p>", "templates/footer.html": "<p>foot</p>"},
		"empty templates": {"templates/keep/x": ""},
		"static only":     {"static/main.css": "a{}"},
		"theme only":      {"themes/light/styles.css": "a{}"},
		"robots only":     {"robots.txt": "all welcome"},
	} {
		t.Run(name, func(t *testing.T) {
			u, logs := newUI(t, ui.Config{Dir: webDir(t, files), IssuerPath: "/dex"})
			for page, p := range allPages(u) {
				if w := show(t, "/dex/auth", p.show); w.Code != p.status || w.Body.Len() == 0 {
					t.Errorf("%s: %d, %d bytes", page, w.Code, w.Body.Len())
				}
			}
			h := mount(u)
			for _, target := range []string{
				"/dex/static/main.css", "/dex/static/img/ldap-icon.svg", "/dex/theme/styles.css", "/dex/theme/logo.png",
				"/dex/robots.txt",
			} {
				if w := get(h, target); w.Code != http.StatusOK {
					t.Errorf("%s: %d", target, w.Code)
				}
			}
			for file, content := range files {
				if base, ok := strings.CutPrefix(file, "static/"); ok {
					if got := get(h, "/dex/static/"+base).Body.String(); got != content {
						t.Errorf("%s is %q", file, got)
					}
				}
			}
			wantLog(t, logs, "INFO", "built-in files are used")
			if got := strings.Count(logs.String(), "\n"); got != 1 {
				t.Errorf("%d log lines, want 1:\n%s", got, logs)
			}
		})
	}
}

func TestLogNamesWhatIsMissing(t *testing.T) {
	_, logs := newUI(t, ui.Config{Theme: "acme", Dir: webDir(t, map[string]string{
		"templates/login.html": "x", "themes/acme/styles.css": "", "robots.txt": "",
	})})
	wantLog(t, logs, "templates/password.html", "static/", "themes/acme/logo.png", "templates/header.html")
	for _, present := range []string{"templates/login.html", "robots.txt", "themes/acme/styles.css", "themes/light"} {
		if strings.Contains(logs.String(), present) {
			t.Errorf("log names %s:\n%s", present, logs)
		}
	}
}

// Templates made for a release of upstream use only what its pages have, and may include pages that we don't have yet.
func TestTemplatesMadeForUpstream(t *testing.T) {
	const head, foot = `{{ template "header.html" . }}`, `{{ template "footer.html" . }}`
	files := map[string]string{
		"header.html": `<html><head><title>{{ issuer }}</title><link href="{{ url .ReqPath "static/main.css" }}" rel="stylesheet">` +
			`</head><body class="theme-body"><img src="{{ url .ReqPath logo }}"><i>{{ "color" | extra }}</i>`,
		"footer.html": `</body></html>`,
		"login.html": head + `{{ range $c := .Connectors }}<a href="{{ $c.URL }}"><button class="dex-btn theme-btn-provider">` +
			`<span class="dex-btn-icon dex-btn-icon--{{ $c.Type }}"></span>{{ $c.ID }} {{ $c.Name | upper }}</button></a>{{ end }}` + foot,
		"password.html": head + `<form method="post" action="{{ .PostURL }}"><input name="login" placeholder="{{ .UsernamePrompt | lower }}"` +
			`{{ if .Username }} value="{{ .Username }}"{{ else }} autofocus{{ end }}>{{ if .Invalid }}<b>wrong</b>{{ end }}</form>` +
			`{{ if .BackLink }}<a href="{{ .BackLink }}">back</a>{{ end }}{{ .ShowRememberMe }} {{ .RememberMeChecked }}` + foot,
		"approval.html": head + `{{ .User }} {{ .Client }} {{ .AuthReqID }}{{ range $s := .Scopes }}<li>{{ $s }}</li>{{ end }}` + foot,
		"oob.html":      head + `<input value="{{ .Code }}">` + foot,
		"error.html":    head + `<h2>{{ .ErrType }}</h2><p>{{ .ErrMsg }}</p>` + foot,
		"home.html": head + `{{ .LoggedIn }}{{ .Username }}{{ .Email }}{{ .EmailVerified }}{{ .Groups }}{{ .ConnectorName }}` +
			`{{ .SignedInISO }}{{ .SignedInText }}{{ .SessionExpiresISO }}{{ .SessionExpiresText }}{{ .SessionExpiryIsIdle }}` +
			`{{ .IPAddress }}{{ .UserAgent }}{{ .LogoutURL }}{{ .DiscoveryURL }}` + foot,
		"device.html":          head + `{{ .PostURL }}{{ .UserCode }}{{ .Invalid }}` + foot,
		"device_success.html":  head + `{{ .ClientName }}` + foot,
		"totp_verify.html":     head + `{{ .PostURL }}{{ .Invalid }}{{ .Issuer }}{{ .Connector }}{{ .QRCode }}` + foot,
		"webauthn_verify.html": head + `<script>let mode = {{ .Mode }}, id = {{ .AuthenticatorID }};</script>` + foot,
		"logout.html":          head + `{{ .BackURL }}{{ .LoggedOut }}{{ .ShowConfirmation }}` + foot,
	}
	tree := map[string]string{}
	for name, text := range files {
		tree["templates/"+name] = text
	}
	u, _ := newUI(t, ui.Config{Dir: webDir(t, tree), IssuerPath: "/dex", Extra: map[string]string{"color": "green"}})

	doc := document(t, loginPage(u, ui.LoginPage{Connectors: []ui.ConnectorLink{{ID: "a", Name: "Ldap", URL: "/dex/auth/a", Type: "ldap"}}}))
	if got := text(one(t, "button", tags(doc, "button"))); got != "a LDAP" {
		t.Errorf("button says %q", got)
	}
	if got := attr(tags(doc, "link")[0], "href"); got != "static/main.css" {
		t.Errorf("stylesheet %q", got)
	}
	if !strings.Contains(text(doc), "green") {
		t.Error("extra is lost")
	}
	doc = document(t, passwordPage(u, http.StatusTooManyRequests, ui.PasswordPage{Message: "Too many attempts", BackLink: "/b"}))
	one(t, "error", tags(doc, "b"))
	doc = document(t, approvalPage(u, ui.ApprovalPage{User: "jane", Client: "c", RequestedScopes: []string{"openid", "groups", "email"}}))
	if got := len(tags(doc, "li")); got != 2 {
		t.Errorf("%d scopes, want 2", got)
	}
	doc = document(t, errorPage(u, http.StatusForbidden, ui.ErrorPage{ErrMsg: "no"}))
	if got := text(one(t, "h2", tags(doc, "h2"))); got != "Forbidden" {
		t.Errorf("heading %q", got)
	}
}

func TestCustomDefinitions(t *testing.T) {
	const page = "templates/oob.html"
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an empty partial": {
			files: map[string]string{"templates/header.html": "", "templates/footer.html": "", page: `{{ template "header.html" . }}ok`},
			want:  "ok",
		},
		"a built-in partial defined elsewhere": {
			files: map[string]string{
				"templates/base.html": `{{ define "header.html" }}mine {{ end }}`, page: `{{ template "header.html" . }}ok`,
			},
			want: "mine ok",
		},
		"a later file wins": {
			files: map[string]string{
				"templates/a.html": `{{ define "x" }}a{{ end }}`, "templates/b.html": `{{ define "x" }}b{{ end }}`,
				page: `{{ template "x" }}`,
			},
			want: "b",
		},
		"a partial of another extension": {
			files: map[string]string{
				"templates/nav.tmpl": `{{ define "nav" }}nav{{ end }}`, "templates/README": "{{ broken", page: `{{ template "nav" }}`,
			},
			want: "nav",
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := newUI(t, ui.Config{Dir: webDir(t, test.files)})
			w := show(t, "/", func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{}) })
			if got := w.Body.String(); got != test.want {
				t.Errorf("page is %q, want %q", got, test.want)
			}
		})
	}
}

// Some pages are only there because upstream demands them.
func TestEmptyPagesAreBuiltIn(t *testing.T) {
	for _, blank := range []string{"", " \n\t\r\n", "\ufeff\n"} {
		u, logs := newUI(t, ui.Config{Dir: webDir(t, map[string]string{"templates/oob.html": blank, "templates/footer.html": blank})})
		byID(t, document(t, func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{}) }), "code")
		wantLog(t, logs, "WARN", "empty", "oob.html")
		if strings.Contains(logs.String(), "file=footer.html") {
			t.Error("an empty partial is warned of")
		}
	}
}

func TestStrayFileIsIgnored(t *testing.T) {
	u, logs := newUI(t, ui.Config{Dir: webDir(t, map[string]string{
		"templates/README.md": "{{ not a template", "templates/login.html.bak": `{{ define "oob.html" }}old{{ end }}`,
		"templates/old/x.html": "{{ neither",
	})})
	wantLog(t, logs, "WARN", "ignored", "README.md")
	wantLog(t, logs, "WARN", "ignored", "login.html.bak")
	byID(t, document(t, func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{}) }), "code")
}

func TestFunctionsThatReachOut(t *testing.T) {
	t.Setenv("DEX_TEST_SECRET", "hunter2")
	u, logs := newUI(t, ui.Config{Dir: webDir(t, map[string]string{
		"templates/oob.html": `{{ if .Code }}[{{ env "DEX_TEST_SECRET" }}{{ expandenv "$DEX_TEST_SECRET" }}]` +
			`{{ else }}{{ range .Code }}{{ ("localhost" | getHostByName) }}{{ end }}{{ end }}{{ upper "ok" }}`,
	})})
	w := show(t, "/", func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{Code: "x"}) })
	if got := w.Body.String(); got != "[]OK" {
		t.Errorf("page is %q", got)
	}
	wantLog(t, logs, "WARN", "oob.html", "env expandenv getHostByName")

	if _, logs := newUI(t, ui.Config{}); logs.Len() > 0 {
		t.Errorf("built-in pages alone log %s", logs)
	}
}

func TestTemplateThatFailsLater(t *testing.T) {
	u, logs := newUI(t, ui.Config{Dir: webDir(t, map[string]string{
		"templates/error.html": `<h1>half a page</h1>{{ if eq .ErrMsg "boom" }}{{ fail "boom" }}{{ end }}`,
	})})
	w := show(t, "/", errorPage(u, http.StatusBadRequest, ui.ErrorPage{ErrMsg: "boom"}))
	if w.Code != http.StatusInternalServerError || w.Body.String() != "Internal Server Error\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	wantLog(t, logs, "ERROR", "error.html")
}

func TestThemes(t *testing.T) {
	upstream := map[string]string{"themes/light/styles.css": "/* their light */", "themes/dark/styles.css": "/* their dark */"}
	for _, test := range []struct {
		theme string
		files map[string]string
		want  string // in the style sheet
	}{
		{"", nil, "prefers-color-scheme"},
		{"coreos", nil, "prefers-color-scheme"},
		{"tectonic", nil, "prefers-color-scheme"},
		{"auto", nil, "prefers-color-scheme"},
		{"light", nil, "color-scheme: light;"},
		{"dark", nil, "color-scheme: dark;"},
		{"", upstream, "their light"},
		{"tectonic", upstream, "their light"},
		{"dark", upstream, "their dark"},
		{"auto", upstream, "prefers-color-scheme"},
		{"", map[string]string{"themes/auto/styles.css": "/* mine */", "themes/light/styles.css": ""}, "mine"},
		{"light", map[string]string{"themes/acme/styles.css": ""}, "color-scheme: light;"},
		{"acme", map[string]string{"themes/acme/x.css": ""}, "prefers-color-scheme"},
	} {
		cfg := ui.Config{Theme: test.theme}
		if test.files != nil {
			cfg.Dir = webDir(t, test.files)
		}
		u, _ := newUI(t, cfg)
		if got := get(mount(u), "/dex/theme/styles.css").Body.String(); !strings.Contains(got, test.want) {
			t.Errorf("theme %q with %v: no %q in %q", test.theme, test.files, test.want, got)
		}
	}
}

// Nobody can add a link to a running server that shows what is outside.
func TestLaterLinksStayInside(t *testing.T) {
	outside := webDir(t, map[string]string{"secret.css": "secret"})
	dir := webDir(t, map[string]string{"static/a": ""})
	u, _ := newUI(t, ui.Config{Dir: dir})
	for _, name := range []string{"late.css", "main.css"} {
		if err := os.Symlink(filepath.Join(outside, "secret.css"), filepath.Join(dir, "static", name)); err != nil {
			t.Fatal(err)
		}
		// Not even the built-in file: the operator wanted another.
		if w := get(mount(u), "/dex/static/"+name); w.Code != http.StatusNotFound {
			t.Errorf("%s, a link made later: %d %q", name, w.Code, w.Body)
		}
	}
}

// A Kubernetes volume holds links to files in a folder that a further link names.
func TestMountedVolume(t *testing.T) {
	dir := webDir(t, map[string]string{"templates/..2026_01/oob.html": "mounted"})
	for link, target := range map[string]string{"..data": "..2026_01", "oob.html": "..data/oob.html"} {
		if err := os.Symlink(target, filepath.Join(dir, "templates", link)); err != nil {
			t.Fatal(err)
		}
	}
	// An editor's lock is a dangling link.
	if err := os.Symlink("me@host.1", filepath.Join(dir, "templates", ".#oob.html")); err != nil {
		t.Fatal(err)
	}
	u, _ := newUI(t, ui.Config{Dir: dir})
	w := show(t, "/", func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{}) })
	if got := w.Body.String(); got != "mounted" {
		t.Errorf("page is %q", got)
	}
}
