package app_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The address of a page of a factor is good as it is, in its own browser, and not otherwise.
func testFactorAddresses(t *testing.T) {
	s := startCrowd(t, "either", "", nil)
	b := s.browser()
	choice := b.enter("shop", "ann").at("/mfa/choose?")
	pages := b.visit(choice).links()
	another := s.browser()
	others := another.visit(another.enter("shop", "ann").at("/mfa/choose?")).links()
	parts := func(address string) url.Values {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	own := map[bool]url.Values{true: parts(pages[1]), false: parts(pages[0])}
	for _, path := range factorPaths {
		good := own[strings.HasPrefix(path, "/dex/mfa/webauthn")]
		if slices.Contains([]string{"/dex/mfa", "/dex/mfa/choose", "/dex/mfa/codes"}, path) {
			good = parts(choice)
		}
		for name, test := range map[string]struct {
			edit   func(url.Values)
			status int
		}{
			"no hmac":                                 {func(v url.Values) { v.Del("hmac") }, http.StatusUnauthorized},
			"an empty hmac":                           {func(v url.Values) { v.Set("hmac", "") }, http.StatusUnauthorized},
			"a wrong hmac":                            {func(v url.Values) { v.Set("hmac", "AAAA") }, http.StatusUnauthorized},
			"another login's hmac":                    {func(v url.Values) { v.Set("hmac", parts(others[0]).Get("hmac")) }, http.StatusUnauthorized},
			"the choice's hmac":                       {func(v url.Values) { v.Set("hmac", parts(choice).Get("hmac")); v.Set("authenticator", "key") }, http.StatusUnauthorized},
			"another authenticator":                   {func(v url.Values) { v.Set("authenticator", "foreign") }, http.StatusUnauthorized},
			"no authenticator":                        {func(v url.Values) { v.Del("authenticator") }, http.StatusUnauthorized},
			"no authenticator, and the choice's hmac": {func(v url.Values) { v.Set("hmac", parts(choice).Get("hmac")); v.Del("authenticator") }, http.StatusUnauthorized},
			"no request":                              {func(v url.Values) { v.Del("req") }, http.StatusBadRequest},
			"no such request":                         {func(v url.Values) { v.Set("req", "r"+strings.Repeat("a", 58)) }, http.StatusBadRequest},
			"another browser's":                       {func(v url.Values) { v.Set("req", parts(others[0]).Get("req")) }, http.StatusBadRequest},
			"something for a request":                 {func(v url.Values) { v.Set("req", "x\x00<script>") }, http.StatusBadRequest},
		} {
			if strings.Contains(name, "authenticator") || name == "the choice's hmac" {
				if !good.Has("authenticator") {
					continue // nobody looks at it
				}
			}
			query := url.Values{}
			for k, v := range good {
				query[k] = v
			}
			test.edit(query)
			a := b.sendAny(path+"?"+query.Encode(), "{}")
			if a.status != test.status {
				t.Errorf("%s, %s: status %d, want %d", path, name, a.status, test.status)
			}
			a.wantForm(path)
		}
		// In another browser it is worth nothing.
		a := another.sendAny(path+"?"+good.Encode(), "{}")
		if a.status != http.StatusBadRequest {
			t.Errorf("%s in another browser: status %d", path, a.status)
		}
		a.wantForm(path)
	}
	// The right hmac, at the page of another type.
	for _, path := range factorPaths {
		if query := own[!strings.HasPrefix(path, "/dex/mfa/webauthn")]; strings.Contains(path, "webauthn") || strings.Contains(path, "totp") {
			a := b.sendAny(path+"?"+query.Encode(), "{}")
			wanted := a.status == http.StatusBadRequest
			if strings.Contains(path, "/login/") { // not what comes next
				wanted = a.text("redirect") != ""
			}
			if !wanted {
				t.Errorf("%s for another type: %d %s", path, a.status, a.body)
			}
			a.wantForm(path)
		}
	}
	if s.factorOf("ann").Any() {
		t.Error("a factor was set up")
	}
}

// wantForm checks that a script gets JSON, and somebody who visits a page a page.
func (a answer) wantForm(path string) {
	a.t.Helper()
	want := "text/html"
	if isForScripts(path) {
		want = "application/json"
	}
	if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, want) {
		a.t.Errorf("%s answers %d with %s", path, a.status, got)
	}
	if isForScripts(path) && a.status != http.StatusOK && a.text("error") == "" {
		a.t.Errorf("%s says %s", path, a.body)
	}
}
