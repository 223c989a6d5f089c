package ui_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"dex/internal/locale"
	"dex/internal/ui"
)

func languages(t *testing.T) *locale.Catalog {
	t.Helper()
	c, err := locale.New(locale.Config{Offered: []string{"en", "dv"}, Messages: fstest.MapFS{"dv.json": {Data: []byte(
		`{"name": "Aa", "direction": "rtl", "months": ["1","2","3","4","5","6","7","8","9","10","11","12"], "time": "{year}",
		"messages": {"Password": "PASSWORD", "Email Address": "MAIL", "Something went wrong": "OH", "Request ID:": "ID"}}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A page is in the language that was chosen on a page, or that the application or the browser wishes for.
func TestLanguageOfPages(t *testing.T) {
	u, _ := newUI(t, ui.Config{
		Languages: languages(t), IssuerPath: "/dex", Origin: "https://dex.test",
		Extra: map[string]string{"helpURL": "https://help.test"}, Extras: map[string]map[string]string{"dv": {"helpURL": "https://dv.test"}},
	})
	for name, c := range map[string]struct {
		chosen, locales, accepted string
		translated                bool
	}{
		"nothing":             {"", "", "", false},
		"the browser":         {"", "", "dv", true},
		"the application":     {"", "en", "dv", false},
		"the page":            {"dv", "en", "en", true},
		"a language gone":     {"tlh", "", "dv", true},
		"the application, dv": {"", "tlh dv", "en", true},
	} {
		r := ui.Wishing(httptest.NewRequest(http.MethodGet, "/dex/auth/local/login?state=1&x=%22", nil))
		r.Header.Set("Accept-Language", c.accepted)
		if c.chosen != "" {
			r.AddCookie(&http.Cookie{Name: "dex_language", Value: c.chosen})
		}
		ui.Wish(r.Context(), c.locales)
		w := httptest.NewRecorder()
		u.Password(w, r, http.StatusOK, ui.PasswordPage{PostURL: "/"})
		page := w.Body.String()
		for _, translated := range []string{`lang="dv" dir="rtl"`, ">PASSWORD<", "https://dv.test"} {
			if strings.Contains(page, translated) != c.translated {
				t.Errorf("%s: that the page has %s is not %t\n%s", name, translated, c.translated, page)
			}
		}
		if !strings.Contains(page, `name="back" value="/dex/auth/local/login?state=1&amp;x=%22"`) {
			t.Errorf("%s: no way back in the choice of languages\n%s", name, page)
		}
	}
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/dex/auth/local/login", nil),
		httptest.NewRequest(http.MethodGet, "/dex/callback/github?code=1&state=2", nil),
		httptest.NewRequest(http.MethodGet, "/dex/device/callback?code=1&state=2", nil),
	} {
		w := httptest.NewRecorder()
		r.Header.Set("Accept-Language", "dv")
		u.Error(w, r, http.StatusInternalServerError, ui.ErrorPage{RequestID: "1"})
		if page := w.Body.String(); strings.Contains(page, `name="back"`) || !strings.Contains(page, "ID") {
			t.Errorf("the page of %s, which can't be shown again, offers languages\n%s", r.URL, page)
		}
	}
}

// The field for an e-mail address gets the keyboard for one in every language.
func TestKeyboardForAddresses(t *testing.T) {
	u, _ := newUI(t, ui.Config{Languages: languages(t)})
	for prompt, want := range map[string]bool{"Email Address": true, "Password": false} {
		r := httptest.NewRequest(http.MethodGet, "/auth/local/login", nil)
		r.Header.Set("Accept-Language", "dv")
		w := httptest.NewRecorder()
		u.Password(w, r, http.StatusOK, ui.PasswordPage{PostURL: "/", UsernamePrompt: prompt})
		if got := strings.Contains(w.Body.String(), `inputmode="email"`); got != want || strings.Contains(w.Body.String(), prompt) {
			t.Errorf("%s: keyboard for addresses %t, want %t\n%s", prompt, got, want, w.Body)
		}
	}
}

// A template that forgets that some pages have no choice of a language, such as those after a post, is an error at the start.
func TestTemplatesWithoutChoiceOfLanguage(t *testing.T) {
	for footer, good := range map[string]bool{
		`{{ range .Choice.Languages }}{{ .Name }}{{ end }}`: false, `{{ with .Choice }}{{ .Back }}{{ end }}`: true,
	} {
		dir := webDir(t, map[string]string{"templates/footer.html": footer})
		u, err := ui.New(ui.Config{Dir: dir}, slog.New(slog.DiscardHandler))
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "footer.html:1") {
			t.Errorf("%s: %v", footer, err)
		}
		if err == nil {
			_ = u.Close()
		}
	}
}

// The choice of a language leads back to a page of ours, and nowhere else.
func TestChoiceOfLanguage(t *testing.T) {
	u, _ := newUI(t, ui.Config{Languages: languages(t), IssuerPath: "/dex", Origin: "https://dex.test"})
	for back, want := range map[string]string{
		"/dex/auth?client_id=a": "/dex/auth?client_id=a", "/dex": "/dex", "/dex/": "/dex/", "": "/dex", "/": "/dex", "/dexter": "/dex",
		"https://evil.test/dex/": "/dex", "//evil.test/dex/": "/dex", "/dex/../../x": "/dex", "/dex/%2e%2e/x": "/dex", `/dex/\evil.test`: "/dex", "dex/": "/dex",
		"javascript:alert(1)": "/dex", "/dex/\r\nx": "/dex", `\\evil.test/dex/`: "/dex", "/dex/" + strings.Repeat("x", 40_000): "/dex",
	} {
		w := httptest.NewRecorder()
		u.Language(w, httptest.NewRequest(http.MethodGet, "/dex/language?"+url.Values{"to": {"dv"}, "back": {back}}.Encode(), nil))
		if got := w.Header().Get("Location"); got != want || w.Code != http.StatusSeeOther {
			t.Errorf("%.50s leads to %d %s, want %s", back, w.Code, got, want)
		}
		if got := w.Header().Get("Set-Cookie"); got != "dex_language=dv; Path=/dex; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax" {
			t.Errorf("the cookie is %s", got)
		}
	}
	w := httptest.NewRecorder()
	u.Language(w, httptest.NewRequest(http.MethodGet, "/dex/language?to=tlh&back=/dex/device", nil))
	if w.Header().Get("Set-Cookie") != "" || w.Header().Get("Location") != "/dex/device" {
		t.Errorf("a language that there is not: %v", w.Header())
	}
}
