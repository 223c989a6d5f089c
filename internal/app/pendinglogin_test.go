package app_test

import (
	"net/http"
	"testing"

	"dex/internal/connector/local"
)

// A login that somebody has begun with the old password, and that waits at a page, comes to nothing once the password is another one.
func TestLoginsUnderWayEndWithThePassword(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	wait := func() (thief *browser, at string) {
		thief = d.browser()
		path := thief.visit(to("shop", "connector_id", "local", "prompt", "consent")).wantStatus(http.StatusFound).path()
		return thief, thief.post(path, form("login", "jane@example.com", "password", "password")).at("/approval?")
	}
	wantNothing := func(thief *browser, at string) {
		t.Helper()
		if a := thief.post(at, form("approval", "approve")); a.appCode() != "" || a.status == http.StatusSeeOther && a.params().Get("error") == "" {
			t.Errorf("the login goes on: %d %s", a.status, a.header.Get("Location"))
		}
	}
	thief, at := wait()
	other, there := wait()
	b := d.browser()
	b.asksReset("jane@example.com").wantStatus(http.StatusOK)
	link := linkIn(t, d.post.Next(t))
	if code := other.post(there, form("approval", "approve")).appCode(); code == "" {
		t.Fatal("nothing has changed, and the login doesn't go on")
	}
	b.post("/dex/reset/password", passwordsForm(t, link, "correct horse")).wantStatus(http.StatusOK)
	wantNothing(thief, at)

	if _, err := d.users.Update(t.Context(), "jane@example.com", func(u *local.User) error { u.Hash = hashOfPassword(); return nil }); err != nil {
		t.Fatal(err)
	}
	thief, at = wait()
	if err := d.users.Delete(t.Context(), "jane@example.com", ""); err != nil {
		t.Fatal(err)
	}
	wantNothing(thief, at)
}
