package ui_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/ui"
)

func resetPage(u *ui.UI, p ui.ResetPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Reset(w, r, http.StatusOK, p) }
}

func newPasswordPage(u *ui.UI, p ui.NewPasswordPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.NewPassword(w, r, http.StatusBadRequest, p) }
}

func passwordSetPage(u *ui.UI, p ui.PasswordSetPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.PasswordSet(w, r, http.StatusOK, p) }
}

func elsewherePage(u *ui.UI, p ui.ElsewherePage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Elsewhere(w, r, http.StatusForbidden, p) }
}

func verifyPage(u *ui.UI, p ui.VerifyPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Verify(w, r, http.StatusOK, p) }
}

// The forms have what programs that keep passwords need to know which one to replace.
func TestNewPasswordForm(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	doc := document(t, newPasswordPage(u, ui.NewPasswordPage{PostURL: "/reset/password", Token: "tok", Username: "jane@example.com", Message: "Too short."}))
	found := map[string]string{}
	for _, field := range tags(doc, "input") {
		found[attr(field, "name")] = attr(field, "autocomplete") + " " + attr(field, "value")
	}
	for name, want := range map[string]string{
		"token": " tok", "username": "username jane@example.com", "password": "new-password ", "password_again": "new-password ",
	} {
		if found[name] != want {
			t.Errorf("%s: got %q, want %q", name, found[name], want)
		}
	}
	if !strings.Contains(text(doc), "Too short.") {
		t.Error("doesn't say why")
	}
}

func TestForgottenPasswordLink(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	for _, link := range []string{"", "/reset?login=1"} {
		doc := document(t, passwordPage(u, http.StatusOK, ui.PasswordPage{PostURL: "/x", ResetURL: link}))
		if shown := strings.Contains(text(doc), "Forgot your password?"); shown != (link != "") {
			t.Errorf("%q: shown %t", link, shown)
		}
	}
}
