package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// twoLooks is how long the application takes to ask twice whether the session has changed.
const twoLooks = 2500 * time.Millisecond

// singlePageLibrary is where the library is in its package.
const singlePageLibrary = "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"

// TestSinglePageRenewsInAFrame renews tokens of a single-page application in a hidden frame, with a library that many use, as long as
// the session lasts. The application is at the same site as the server, or at another one.
func TestSinglePageRenewsInAFrame(t *testing.T) {
	t.Parallel()
	dir := npmInstall(t, "singlepage", "page.html", "page.js")
	for name, test := range map[string]struct {
		anotherSite, crossSite, blocks bool
		works                          bool
	}{
		"same site":               {blocks: true, works: true},
		"another site, crossSite": {anotherSite: true, crossSite: true, works: true},
		"another site":            {anotherSite: true},
		"another site, crossSite, in a browser that blocks cookies of other sites": {anotherSite: true, crossSite: true, blocks: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfiguration(t).withoutConsent()
			if test.anotherSite {
				ca, files := newAuthority(t), t.TempDir()
				cert, key := ca.issue(t, 2)
				c.withTLS(t, writeFile(t, files, "tls.crt", cert), writeFile(t, files, "tls.key", key))
			}
			s := startSinglePage(t, dir, c.issuer, test.anotherSite)
			d := s.serve(t, c, section{"checkSessionIframe": true, "crossSite": test.crossSite})
			b := newBrowser(t, chromedp.Flag("ignore-certificate-errors", true), cookiesOfOtherSites(t, !test.blocks))
			first := s.logIn(b, "nina")
			if test.works {
				s.checkRenewal(b, first)
				s.checkMonitor(b, d)
				return
			}
			time.Sleep(twoLooks)
			b.waitForEvents()
			if got := b.renew(); got != "login_required" {
				t.Errorf("the renewal brings %q, want login_required", got)
			}
		})
	}
}

// cookiesOfOtherSites sets whether pages in frames get their cookies where the page around them is of another site.
func cookiesOfOtherSites(t *testing.T, allowed bool) chromedp.ExecAllocatorOption {
	t.Helper()
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	const always, never = 1, 0 // when they are blocked
	mode := always
	if allowed {
		mode = never
	}
	const preferences = `{"profile": {"cookie_controls_mode": %d, "block_third_party_cookies": %t}}`
	writeFile(t, filepath.Join(profile, "Default"), "Preferences", fmt.Sprintf(preferences, mode, !allowed))
	return chromedp.UserDataDir(profile)
}

// A singlePage is a single-page application.
type singlePage struct {
	url string
}

// startSinglePage starts an application that an installation has. Another site than that of the tests' servers is localhost.
func startSinglePage(t *testing.T, dir, issuer string, anotherSite bool) *singlePage {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(dir, "page.js"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := json.Marshal(issuer)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(dir, "page.html")) })
	mux.HandleFunc("/oidc-client-ts.min.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(dir, singlePageLibrary))
	})
	mux.HandleFunc("/page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write([]byte(strings.Replace(string(script), "AUTHORITY", string(authority), 1)))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	if anotherSite {
		return &singlePage{strings.Replace(server.URL, "127.0.0.1", "localhost", 1)}
	}
	return &singlePage{server.URL}
}

// serve starts a server for the application.
func (s *singlePage) serve(t *testing.T, c *configuration, sessions section) *dex {
	t.Helper()
	c.with("sessions", sessions).with("web", section{"allowedOrigins": []string{s.url}})
	c.with("staticPasswords", []section{resident("nina"), resident("olga")})
	c.with("staticClients", []section{
		{
			"id": "single-page", "name": "Single Page", "public": true,
			"redirectURIs": []string{s.url + "/callback", s.url + "/silent"}, "postLogoutRedirectURIs": []string{s.url + "/"},
		},
		{"id": "another", "name": "Another", "secret": "another-secret", "redirectURIs": []string{s.url + "/"}},
	})
	d := startProcess(t, "dex", binaries.dex, "serve", c.write(t))
	c.waitUntilReady(t)
	return &dex{process: d, configuration: c}
}

// logIn signs a user in.
func (s *singlePage) logIn(b *tab, name string) idClaims {
	b.t.Helper()
	b.open(s.url + "/")
	b.click("#login", loginChoice)
	b.follow("Log in with Email", passwordForm)
	b.enterPassword(name+"@example.org", adminPassword, "#claims")
	return b.claims()
}

// renew renews the tokens in a frame, and returns the ID token or the error.
func (b *tab) renew() string {
	b.t.Helper()
	return result(b, chromedp.Evaluate[string]("renew()", chromedp.EvalAwaitPromise))
}

func (s *singlePage) checkRenewal(b *tab, first idClaims) {
	b.t.Helper()
	before := b.text("#id-token")
	for range 2 {
		got := b.renew()
		if strings.Count(got, ".") != 2 || got == before {
			b.t.Fatalf("the renewal brings %q", got)
		}
		before = got
	}
	profile := result(b, chromedp.Evaluate[idClaims]("manager.getUser().then((user) => user.profile)", chromedp.EvalAwaitPromise))
	if profile != first {
		b.t.Errorf("after the renewal the application has %+v, want %+v", profile, first)
	}
}

// checkMonitor has the application notice in one tab what happens to the session in another.
func (s *singlePage) checkMonitor(b *tab, d *dex) {
	b.t.Helper()
	for _, c := range call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{d.endpoint("/auth")}}).Cookies {
		if strings.HasSuffix(c.Name, "_session_state") {
			call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: c.Name, URL: d.endpoint("/auth")})
		}
	}
	b.waitForEvents("changed")
	time.Sleep(twoLooks) // the cookie is there again
	b.waitForEvents("changed")
	other := b.another()
	other.passwordFormAt(d.endpoint("/auth?" + query("client_id", "another", "redirect_uri", s.url+"/", "response_type", "code", "scope", "openid")))
	other.enterPassword("olga@example.org", adminPassword, "#login")
	b.waitForEvents("changed", "changed")

	other.open(d.endpoint("/logout"))
	other.click("#submit-logout-all", "h1")
	b.waitForEvents("changed", "changed", "signed out")
	if got := b.renew(); got != "login_required" {
		b.t.Errorf("after the logout the renewal brings %q, want login_required", got)
	}

	s.logIn(b, "nina")
	b.click("#logout", "#login") // without a question
	if got := b.renew(); got != "login_required" {
		b.t.Errorf("after the application's own logout the renewal brings %q, want login_required", got)
	}
}

// waitForEvents waits until the application has had events of its session.
func (b *tab) waitForEvents(want ...string) {
	b.t.Helper()
	var got []string
	eventually(b.t, patience, "the application notices: "+strings.Join(want, ", "), func() bool {
		got = evaluate[[]string](b, "events")
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		b.t.Errorf("the application notices %q, want %q", got, want)
	}
}
