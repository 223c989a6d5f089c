package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestManyTabsWithOneSession opens 24 tabs of one browser at once, where nobody has signed in yet and where somebody has: each gets in,
// on every storage, and one logout ends them all.
func TestManyTabsWithOneSession(t *testing.T) {
	t.Parallel()
	onEach(t, storages, func(t *testing.T, kind string) {
		const tabs = 24
		c := newConfiguration(t).withoutConsent().withStorage(t, kind).with("sessions", section{"ssoSharedWithDefault": "all"})
		var d *dex
		if kind == "memory" || kind == "sqlite3" {
			d = startDex(t, c)
		} else {
			d = c.startReplicas(t, 2)
		}
		browser := newVisitor(d.transport)

		var mu sync.Mutex
		ids := map[string]int{}
		open := func(each func() (id, secret, code string, err error)) {
			t.Helper()
			clear(ids)
			var group errgroup.Group
			for range tabs {
				group.Go(func() error {
					id, secret, code, err := each()
					if err != nil {
						return err
					}
					tokens, err := d.tokenAs(t.Context(), id, secret, url.Values{
						"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callbackURL},
					})
					if err != nil || tokens.status != http.StatusOK {
						return fmt.Errorf("the code gives %+v: %w", tokens, err)
					}
					mu.Lock()
					defer mu.Unlock()
					sid, _ := payloadOf(t, tokens.IDToken)["sid"].(string)
					ids[sid]++
					return nil
				})
			}
			if err := group.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		open(func() (id, secret, code string, err error) {
			answer, err := browser.signIn(t.Context(), d.authURL("/auth/mock", nil))
			return clientID, clientSecret, answer.Get("code"), err
		})
		if ids[""] > 0 {
			t.Errorf("logins without a session: %v", ids)
		}
		for i, of := range [][2]string{{clientID, clientSecret}, {otherClientID, otherClientSecret}} {
			open(func() (id, secret, code string, err error) {
				p, err := browser.get(t.Context(), d.authURL("/auth", url.Values{"client_id": {of[0]}, "prompt": {"none"}}))
				if err != nil {
					return "", "", "", err
				}
				if p.answer.Get("code") == "" {
					return "", "", "", fmt.Errorf("client %d: no code: status %d at %s, %v", i, p.status, p.url, p.answer)
				}
				return of[0], of[1], p.answer.Get("code"), nil
			})
			if len(ids) != 1 || ids[""] > 0 {
				t.Errorf("client %d: sessions %v, want one", i, ids)
			}
		}
		if p, err := browser.post(t.Context(), d.endpoint("/logout"), nil); err != nil || p.status != http.StatusOK {
			t.Fatalf("logout: %v, %v", p, err)
		}
		p, err := browser.get(t.Context(), d.authURL("/auth", url.Values{"prompt": {"none"}}))
		if err != nil || p.answer.Get("error") != "login_required" {
			t.Errorf("after the logout: %v, %v", p, err)
		}
	})
}
