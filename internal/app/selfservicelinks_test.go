package app_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/connector/local"
	"dex/internal/mail"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func TestLinksThatAreNoGood(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	b := d.browser()
	b.asksReset("jane@example.com").wantStatus(http.StatusOK)
	link := linkIn(t, d.post.Next(t))
	invited, _, err := d.core.InForce().SelfService().Invite(t.Context(), "new@example.com")
	if err != nil {
		t.Fatal(err)
	}
	token := tokenOf(t, link)
	for name, bad := range map[string]string{
		"none": "", "tampered with": token[:100] + string(token[100]^1) + token[101:], "cut off": token[:len(token)/2], "too long": strings.Repeat("a", 5000),
		"of another kind": tokenOf(t, invited), "no base64": "%%%",
	} {
		b.visit("/dex/reset/password?" + form("token", bad).Encode()).wantStatus(http.StatusGone)
		a := b.post("/dex/reset/password", form("token", bad, "password", "correct horse", "password_again", "correct horse"))
		if a.status != http.StatusGone {
			t.Errorf("%s: got %d", name, a.status)
		}
	}
	for _, other := range []string{"/dex/invitation", "/dex/verify"} {
		b.visit(other + "?" + form("token", token).Encode()).wantStatus(http.StatusGone)
	}
	crossing := b.prepared("/dex/reset/password", passwordsForm(t, link, "correct horse"))
	crossing.Header.Set("Sec-Fetch-Site", "cross-site")
	b.do(crossing).wantStatus(http.StatusForbidden)

	// Deleted and made again, the user is somebody else, whoever's hash they have.
	if _, err := d.users.Update(t.Context(), "jane@example.com", func(u *local.User) error { u.UserID = "another jane"; return nil }); err != nil {
		t.Fatal(err)
	}
	b.visit(link).wantStatus(http.StatusGone)
	d.browser().visit("/dex/reset").wantStatus(http.StatusOK)
}

func TestInvitation(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	self := d.core.InForce().SelfService()
	link, expires, err := self.Invite(t.Context(), "NEW@example.com")
	if err != nil || time.Until(expires).Round(time.Minute) != 72*time.Hour {
		t.Fatal(expires, err)
	}
	link = strings.TrimPrefix(link, "http://dex.test")
	d.browser().visit(link).wantStatus(http.StatusOK)
	if a := d.browser().visit(link).wantStatus(http.StatusOK); !strings.Contains(a.body, "new@example.com") {
		t.Errorf("got %s", a.body)
	}
	d.browser().post("/dex/invitation", passwordsForm(t, link, "new@example.com")).wantStatus(http.StatusBadRequest)
	d.browser().post("/dex/invitation", passwordsForm(t, link, "correct horse")).wantStatus(http.StatusOK)
	if !d.mayLogIn("new@example.com", "correct horse") {
		t.Error("can't log in")
	}
	if verified := d.user("new@example.com").EmailVerified; *verified {
		t.Error("a link that an operator has passed on proves nothing about the address")
	}
	d.browser().post("/dex/invitation", passwordsForm(t, link, "correct horse 2")).wantStatus(http.StatusGone)

	if _, err := self.InviteByMail(t.Context(), "new@example.com"); err != nil {
		t.Fatal(err)
	}
	m := d.post.Next(t)
	if m.Subject != "Your account at dex" {
		t.Errorf("the mail is %+v", m)
	}
	d.browser().post("/dex/invitation", passwordsForm(t, linkIn(t, m), "correct horse 3")).wantStatus(http.StatusOK)
	if verified := d.user("new@example.com").EmailVerified; !*verified {
		t.Error("the address isn't verified")
	}
	for _, email := range []string{"nobody@example.com", "admin@example.com", "bob@example.com"} {
		if _, _, err := self.Invite(t.Context(), email); err == nil {
			t.Errorf("%s is invited", email)
		}
	}
	if _, _, err := self.Invite(t.Context(), "sam"); err != nil {
		t.Error(err)
	}
	if _, err := self.InviteByMail(t.Context(), "sam"); err == nil {
		t.Error("a mail to sam")
	}
}

// While too many mails are waiting nobody is invited by mail, and the record doesn't say so.
func TestInvitationsThatFindNoRoom(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	self := d.replica(t, func(s store.Store) store.Store { return s }).InForce().SelfService() // which sends nothing
	d.events.take()
	invited := 0
	var err error
	for err == nil && invited <= 1000 {
		if _, err = self.InviteByMail(t.Context(), "new@example.com"); err == nil {
			invited++
		}
	}
	if told := len(d.events.take()); !errors.Is(err, mail.ErrFull) || told != invited {
		t.Errorf("%d are invited, %d events, %v", invited, told, err)
	}
}

func TestInvitationExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		if _, err := store.In(s, local.Kind).Create(t.Context(), "new@example.com", local.User{Email: "new@example.com", Hash: hashOfPassword(), UserID: "n"}); err != nil {
			t.Fatal(err)
		}
		core := open(t, configuration+"localUsers: {invitations: true, invitationLifetime: 1h}\n", func(inner store.Store) store.Store {
			r, err := inner.Get(t.Context(), "keys", "openid-connect-keys")
			if err != nil {
				t.Fatal(err)
			}
			r.Revision = ""
			if _, err := s.Create(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			return s
		})
		link, _, err := core.InForce().SelfService().Invite(t.Context(), "new@example.com")
		if err != nil {
			t.Fatal(err)
		}
		b := (&server{t: t, handler: core.Handler()}).browser()
		time.Sleep(time.Hour - time.Second)
		b.visit(strings.TrimPrefix(link, "http://dex.test")).wantStatus(http.StatusOK)
		time.Sleep(time.Second)
		b.visit(strings.TrimPrefix(link, "http://dex.test")).wantStatus(http.StatusGone)
		b.post("/dex/invitation", passwordsForm(t, link, "correct horse")).wantStatus(http.StatusGone)
	})
}

func TestEmailVerification(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	b := d.browser()
	b.post("/dex/verify/send", form()).wantStatus(http.StatusForbidden) // nobody is logged in
	if claims(t, b.janesLogin().text("id_token"))["email_verified"] != false {
		t.Fatal("verified already")
	}
	home := b.visit("/dex").wantStatus(http.StatusOK)
	found := regexp.MustCompile(`action="(/dex/verify/send)">\s*<input type="hidden" name="account" value="([^"]+)"`).FindStringSubmatch(home.body)
	if found == nil {
		t.Fatalf("no way to verify the address in %s", home.body)
	}
	b.post(found[1], form("account", found[2])).wantStatus(http.StatusOK)
	link := linkIn(t, d.post.Next(t))
	other := d.browser()
	other.shopLogin()
	for _, stranger := range []*browser{d.browser(), other} {
		stranger.visit(link).wantStatus(http.StatusForbidden)
		stranger.post("/dex/verify", form("token", tokenOf(t, link))).wantStatus(http.StatusForbidden)
	}
	b.visit(link).wantStatus(http.StatusOK)
	if *d.user("jane@example.com").EmailVerified {
		t.Error("a GET has verified the address")
	}
	b.post("/dex/verify", form("token", tokenOf(t, link))).wantStatus(http.StatusOK)
	if !*d.user("jane@example.com").EmailVerified {
		t.Error("not verified")
	}
	again := b.redeem("shop", b.visit(to("shop")).wantStatus(http.StatusSeeOther))
	if claims(t, again.text("id_token"))["email_verified"] != true {
		t.Error("applications don't hear of it")
	}
	if a := b.post("/dex/verify/send", form()).wantStatus(http.StatusOK); !strings.Contains(a.body, "is confirmed") {
		t.Errorf("got %s", a.body)
	}
	d.post.None(t)
}

func TestSelfServiceIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	for _, path := range []string{"/dex/reset", "/dex/reset/password", "/dex/invitation", "/dex/verify", "/dex/verify/send"} {
		s.get(path).wantStatus(http.StatusNotFound)
	}
	if b := s.browser(); strings.Contains(b.visit(b.passwordForm()).body, "Forgot") {
		t.Error("the form has a link that leads nowhere")
	}
}
