package app_test

import (
	"net/http"
	"testing"
)

// The logins of one user at one client have a bound, which is looked after now and then; the least recently used go.
func TestLongUnusedLoginsEnd(t *testing.T) {
	s := start(t, "oauth2: {skipApprovalScreen: true}\nsigner: {type: local, config: {algorithm: ES256}}\n")
	login := func() string {
		t.Helper()
		b := s.browser()
		trip := b.visit(authPath("connector_id", "mock")).path()
		code := b.visit(trip).wantStatus(http.StatusSeeOther).location().Query().Get("code")
		return s.token(codeForm(code)).wantStatus(http.StatusOK).text("refresh_token")
	}
	const logins = 1024 // 24 above the bound, and a number at which it is looked after
	first, second := login(), login()
	for range logins - 3 {
		login()
	}
	first = s.token(refreshForm(first)).wantStatus(http.StatusOK).text("refresh_token")
	last := login()
	s.token(refreshForm(second)).wantError(http.StatusBadRequest, "invalid_grant")
	for _, used := range []string{first, last} {
		if s.token(refreshForm(used)).status != http.StatusOK {
			t.Error("a login that was used lately has ended")
		}
	}
}
