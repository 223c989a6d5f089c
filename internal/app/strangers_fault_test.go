package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/client"
	"dex/internal/faulttest"
	"dex/internal/store"
)

// Each unknown client that a stranger named was a read of the storage, without limit.
var _ = faulttest.Add("R27", func(t *testing.T) {
	for name, ask := range map[string]func(s *server, id string) answer{
		"authorization": func(s *server, id string) answer { return s.get(authPath("client_id", id)) },
		"audience": func(s *server, id string) answer {
			return s.get(authPath("scope", "openid audience:server:client_id:"+id))
		},
		"token": func(s *server, id string) answer { return s.token(form("grant_type", "refresh_token"), as(id, "x")) },
		"device": func(s *server, id string) answer {
			return s.postForm("/dex/device/code", form("client_id", id), noCredentials)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stored *counting
				s := startOn(t, configuration+"oauth2: {compatibility: {clientChecks: upstream}}\n", func(inner store.Store) store.Store {
					stored = &counting{Store: inner}
					return stored
				})
				put(t, stored.Store, client.Kind, "kept", client.Client{ID: "kept", Secret: "s", RedirectURIs: []string{callback}})
				s.get(authPath("client_id", "kept")).wantStatus(http.StatusOK)
				time.Sleep(time.Minute) // until it is read again
				stored.reads.Store(0)
				for range 5 {
					if a := ask(s, "same"); a.status == http.StatusOK {
						t.Fatalf("status %d", a.status)
					}
				}
				if got := stored.reads.Load(); got != 1 {
					t.Errorf("one unknown client costs %d reads", got)
				}
				var last answer
				for i := range 300 {
					last = ask(s, fmt.Sprint("nobody", i))
				}
				if got := stored.reads.Load(); got > 110 {
					t.Errorf("300 unknown clients cost %d reads", got)
				}
				if name != "audience" && (last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "") {
					t.Errorf("the last is answered with %d %v", last.status, last.header)
				}
				s.get(authPath()).wantStatus(http.StatusOK)
				s.get(authPath("client_id", "kept")).wantStatus(http.StatusOK)
			})
		})
	}
	s, stored, _ := startCounted(t)
	for i := range 100 {
		s.get(fmt.Sprintf("/dex/saml/nobody%d/metadata", i)).wantStatus(http.StatusNotFound)
	}
	if got := stored.reads.Load(); got > 10 {
		t.Errorf("100 connectors that nobody has cost %d reads", got)
	}
})

var codeOnPage = regexp.MustCompile(`id="code" type="text" value="([^"]+)"`)

// A code that is shown to be copied by hand lived as short as one that a browser carries.
var _ = faulttest.Add("P6", func(t *testing.T) {
	const shown = "urn:ietf:wg:oauth:2.0:oob"
	for late, good := range map[time.Duration]bool{9 * time.Minute: true, 11 * time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, "")
			b := s.browser()
			page := b.post(b.consent("client_id", "cli", "redirect_uri", shown), url.Values{"approval": {"approve"}}).wantStatus(http.StatusOK)
			if !strings.Contains(page.body, "within 10 minutes") {
				t.Errorf("the page doesn't say how long: %s", page.body)
			}
			code := codeOnPage.FindStringSubmatch(page.body)
			if code == nil {
				t.Fatalf("no code on %s", page.body)
			}
			time.Sleep(late)
			a := s.token(codeForm(code[1], "redirect_uri", shown, "client_id", "cli"), noCredentials)
			if (a.status == http.StatusOK) != good {
				t.Errorf("after %s the code is answered with %d %s", late, a.status, a.body)
			}
			carried := s.code()
			time.Sleep(90 * time.Second)
			s.token(codeForm(carried)).wantError(400, "invalid_grant")
		})
	}
})

// A connector that only exchanges tokens was a button that led nowhere.
var _ = faulttest.Add("N2", func(t *testing.T) {
	const mock = "- {type: mockCallback, id: mock, name: Example}\n"
	s := startWith(t, strings.Replace(configuration, mock, mock+
		"- {type: oidc, id: exchange, name: Machines, config: {issuer: 'https://idp.test', exchangeAudiences: [dex]}}\n", 1))
	if page := s.get(authPath()).wantStatus(http.StatusOK).body; strings.Contains(page, "Machines") || !strings.Contains(page, "Example") {
		t.Errorf("the choice is %s", page)
	}
	s.get(authPath("connector_id", "exchange")).wantRedirectError("invalid_request")
	s.get("/dex/auth/exchange?" + request().Encode()).wantStatus(http.StatusBadRequest)
	only := startWith(t, `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
connectors:
- {type: mockCallback, id: mock, name: Example}
- {type: oidc, id: exchange, name: Machines, config: {issuer: 'https://idp.test', exchangeAudiences: [dex]}}
staticClients:
- {id: app, secret: app-secret, name: App, redirectURIs: ["https://app.test/callback"]}
`)
	only.get(authPath()).wantStatus(http.StatusFound) // as there is nothing to choose
})

// Whoever named unknown clients kept those out at the same address, such as that of a proxy, whose client is in the storage
// and was not read lately.
var _ = faulttest.Add("A-unknown-clients", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the limits let one more through now and then
		var stored *counting
		s := startOn(t, configuration, func(inner store.Store) store.Store {
			stored = &counting{Store: inner}
			return stored
		})
		put(t, stored.Store, client.Kind, "kept", client.Client{ID: "kept", Secret: "s", RedirectURIs: []string{callback}})
		for i := range 150 {
			s.get(authPath("client_id", fmt.Sprint("nobody", i)))
		}
		reads, lists := stored.reads.Load(), stored.lists.Load()
		for i := range 100 {
			s.get(authPath("client_id", fmt.Sprint("somebody", i))).wantStatus(http.StatusTooManyRequests)
		}
		if r, l := stored.reads.Load()-reads, stored.lists.Load()-lists; r > 10 || l > 1 {
			t.Errorf("100 unknown clients cost %d reads and %d lists", r, l)
		}
		s.get(authPath("client_id", "kept")).wantStatus(http.StatusOK)
	})
})
