package login_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/faulttest"
	"dex/internal/login"
)

// With stored requests, whoever had begun a login could ask for its callback again and was led to the consent page of the
// victim that had gone through it.
var _ = faulttest.Add("R2", func(t *testing.T) {
	for name, anyBrowser := range map[string]bool{"cookies": false, "stored requests": true} {
		t.Run(name, func(t *testing.T) {
			asksConsent := func(c *login.Config) { c.AnyBrowser, c.SkipApproval = anyBrowser, false }
			attacker := &visitor{t: t, handler: newFlow(t, &source{}, asksConsent), cookies: map[string]string{}}
			callback := attacker.begin(nil).Header().Get("Location")
			victim := &visitor{t: t, handler: attacker.handler, cookies: map[string]string{}}
			if !anyBrowser {
				victim.cookies = attacker.cookies // the only browser that gets to its end
				attacker.cookies = map[string]string{}
			}
			consent := victim.do(http.MethodGet, callback, nil, nil)
			if consent.Code != http.StatusSeeOther || !strings.Contains(consent.Header().Get("Location"), "/approval?") {
				t.Fatalf("the login leads to %d %s", consent.Code, consent.Header().Get("Location"))
			}
			for _, again := range []string{callback, strings.Replace(callback, "/callback", "/callback/src", 1)} {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					u, err := url.Parse(again)
					if err != nil {
						t.Fatal(err)
					}
					form := url.Values{"state": {u.Query().Get("state")}, "dex_reposted": {"1"}}
					w := attacker.do(method, again, form, nil)
					if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" || strings.Contains(w.Body.String(), "hmac") {
						t.Errorf("%s %s by somebody else leads to %d %s", method, again, w.Code, w.Header().Get("Location"))
					}
				}
			}
			if back := victim.do(http.MethodGet, callback, nil, nil); !anyBrowser && back.Header().Get("Location") != consent.Header().Get("Location") {
				t.Errorf("the browser that holds the login is led to %d %s", back.Code, back.Header().Get("Location"))
			}
			if w := victim.do(http.MethodPost, consent.Header().Get("Location"), url.Values{"approval": {"approve"}}, nil); w.Code != http.StatusSeeOther {
				t.Errorf("consent leads to %d %s", w.Code, w.Body)
			}
		})
	}
})
