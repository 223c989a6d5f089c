package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/store"
)

// A storage that fails at any one operation, before or after doing it, changes no password without saying so, and leaves a link that
// works if it has changed none. Whoever had the password before is out as soon as it is another one.
func TestSelfServiceFaults(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			t.Parallel()
			for n := 1; faultyPassword(t, n, late); n++ {
			}
			for n := 1; faultyVerification(t, n, late); n++ {
			}
		})
	}
}

// faultyPassword sets a password while the nth operation fails. It reports whether there were so many.
func faultyPassword(t *testing.T, n int, late bool) bool {
	t.Helper()
	d := openDesk(t)
	thief := d.browser()
	tokens := thief.janesLogin()
	link, _, err := d.core.InForce().SelfService().Invite(t.Context(), "jane@example.com")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Store: d.store, late: late}
	there := &server{t: t, handler: d.replica(t, func(store.Store) store.Store { return f }).Handler()}
	f.failAt = n
	a := there.browser().post("/dex/invitation", passwordsForm(t, link, "correct horse"))
	changed := bcrypt.CompareHashAndPassword(d.user("jane@example.com").Hash, []byte("correct horse")) == nil
	incomplete := strings.Contains(a.body, "not everything could be ended")
	switch {
	case a.status == http.StatusOK:
		if !changed {
			t.Errorf("operation %d failed, and the answer claims what isn't so", n)
		}
	case a.status < http.StatusInternalServerError:
		t.Errorf("operation %d failed, and the answer is %d", n, a.status)
	case !changed:
		d.browser().post("/dex/invitation", passwordsForm(t, link, "correct horse")).wantStatus(http.StatusOK)
	}
	if !incomplete {
		if a := thief.visit(to("shop", "prompt", "none")); a.location().Query().Get("error") == "" {
			t.Errorf("operation %d failed, and a session goes on", n)
		}
		d.token(refreshForm(tokens.text("refresh_token")), asShop).wantStatus(http.StatusBadRequest)
	}
	return f.failed
}

// faultyVerification verifies an address while the nth operation fails. It reports whether there were so many.
func faultyVerification(t *testing.T, n int, late bool) bool {
	t.Helper()
	d := openDesk(t)
	b := d.browser()
	b.janesLogin()
	b.post("/dex/verify/send", form()).wantStatus(http.StatusOK)
	link := linkIn(t, d.post.Next(t))
	f := &faulty{Store: d.store, late: late}
	there := &browser{server: &server{t: t, handler: d.replica(t, func(store.Store) store.Store { return f }).Handler()}, jar: b.jar}
	f.failAt = n
	a := there.post("/dex/verify", form("token", tokenOf(t, link)))
	if a.status == http.StatusOK && !*d.user("jane@example.com").EmailVerified || a.status != http.StatusOK && a.status < http.StatusInternalServerError {
		t.Errorf("operation %d failed, and the answer is %d %s", n, a.status, a.body)
	}
	b.post("/dex/verify", form("token", tokenOf(t, link))).wantStatus(http.StatusOK)
	return f.failed
}
