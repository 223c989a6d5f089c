package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSessionCookie(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	b.stopAtRedirects()
	if got := b.get("/").header.Get("Set-Cookie"); got != "" {
		t.Errorf("a visit alone sets %q", got)
	}
	cookie, err := http.ParseSetCookie(b.post("/login", nil).header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if cookie.Name != "example_app_session" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode ||
		cookie.Path != "/" || cookie.MaxAge != 12*60*60 || cookie.Secure || len(cookie.Value) != 32 {
		t.Errorf("cookie %v", cookie)
	}
}

func TestSessionCookieIsSecureWithHTTPS(t *testing.T) {
	w := httptest.NewRecorder()
	newSessionStore(true).open(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if cookies := w.Result().Cookies(); len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("cookies %v", cookies)
	}
}

func TestSignInRotatesTheSession(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	b.stopAtRedirects()
	before, err := http.ParseSetCookie(b.post("/login", nil).header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	b.client.CheckRedirect = nil
	b.signIn()

	thief := newBrowser(t, b.base)
	p := thief.send(http.MethodGet, "/", nil, http.Header{"Cookie": {sessionCookie + "=" + before.Value}})
	if p.has("signed-in-as") {
		t.Error("the key from before the sign-in opens the session")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := testTime
	store := newSessionStore(false)
	store.now = func() time.Time { return now }
	visit := func(cookie *http.Cookie) (*session, *http.Cookie) {
		now = now.Add(time.Second)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		return store.open(w, r), w.Result().Cookies()[0]
	}

	used, usedCookie := visit(nil)
	unused, unusedCookie := visit(nil)
	visit(usedCookie)
	for range maxSessions - 1 {
		visit(nil)
	}
	if got, _ := visit(usedCookie); got != used {
		t.Error("a session in use was dropped")
	}
	if got, _ := visit(unusedCookie); got == unused {
		t.Error("the session unused for longest is still there")
	}
	if got := len(store.byKey); got != maxSessions {
		t.Errorf("%d sessions, want %d", got, maxSessions)
	}
}

func TestSessionsExpire(t *testing.T) {
	now := testTime
	store := newSessionStore(false)
	store.now = func() time.Time { return now }
	w := httptest.NewRecorder()
	opened := store.open(w, httptest.NewRequest(http.MethodGet, "/", nil))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(w.Result().Cookies()[0])

	for range 3 { // each visit prolongs
		now = now.Add(sessionLifetime)
		if store.find(httptest.NewRecorder(), r) != opened {
			t.Fatal("a session in use ended")
		}
	}
	now = now.Add(sessionLifetime + time.Second)
	if store.find(httptest.NewRecorder(), r) == opened {
		t.Error("an old session still opens")
	}
}

func TestProtections(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	for _, path := range []string{"/login", "/refresh", "/grant/refresh", "/userinfo"} {
		b.send(http.MethodPost, path, url.Values{}, http.Header{"Sec-Fetch-Site": {"cross-site"}}).
			wantError(http.StatusForbidden, "another site")
	}
	large := url.Values{"refresh_token": {string(make([]byte, maxFormBytes))}}
	b.post("/grant/refresh", large).wantError(http.StatusRequestEntityTooLarge)
	b.get("/admin").wantError(http.StatusNotFound)
	b.send(http.MethodPost, "/callback", url.Values{}, nil).wantError(http.StatusMethodNotAllowed)

	for path, caching := range map[string]string{"/": "no-store", "/missing": "no-store", "/static/style.css": "max-age=300"} {
		h := b.get(path).header
		for name, want := range map[string]string{
			"Cache-Control":           caching,
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
			"Referrer-Policy":         "same-origin",
			"X-Content-Type-Options":  "nosniff",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	if got := b.get("/static/").status; got != http.StatusNotFound {
		t.Errorf("the static folder answers %d", got)
	}
}

func TestLoopbackNames(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	b.stopAtRedirects()
	u, err := url.Parse(b.base)
	if err != nil {
		t.Fatal(err)
	}
	byName := newBrowser(t, "http://localhost:"+u.Port())
	byName.stopAtRedirects()
	if got := byName.get("/").header.Get("Location"); got != b.base+"/" {
		t.Errorf("localhost is sent to %q", got)
	}

	// Anywhere else only a note is shown: the redirect may lead nowhere.
	f := newFakeProvider(t)
	elsewhere := newBrowser(t, startApp(t, f, "--redirect-uri", "https://app.example.com/callback"))
	p := elsewhere.get("/")
	p.want(http.StatusOK, "/")
	if got := p.text("login-button"); got == "" {
		t.Error("no start page")
	}
	if !strings.Contains(p.body, `role="note"`) || !strings.Contains(p.body, "<strong>https://app.example.com</strong>") {
		t.Error("no note about where sign-ins end")
	}
}
