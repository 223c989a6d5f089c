package app_test

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// While another process kept SQLite's lock, the answers did not say that it was worth trying again.
var _ = faulttest.Add("O9", func(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dex.db")
	s := startWith(t, strings.Replace(configuration, "{type: memory}",
		"{type: sqlite3, config: {file: \""+file+"?_busy_timeout=100\"}}", 1)+"oauth2: {skipApprovalScreen: true}\n")
	b := s.browser()
	begin := func() (next string) {
		return b.visit(authPath("connector_id", "mock", "scope", "openid offline_access")).wantStatus(http.StatusFound).path()
	}
	code := b.visit(begin()).wantStatus(http.StatusSeeOther).params().Get("code")
	refresh := s.token(codeForm(code)).text("refresh_token")
	begun := begin()

	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}

	told := b.visit(begun).wantRedirectError("server_error")
	if !strings.Contains(told.Get("error_description"), "again") {
		t.Errorf("a login: %q", told.Get("error_description"))
	}
	for what, answer := range map[string]answer{
		"a refresh":       s.token(refreshForm(refresh)),
		"a device's code": s.postForm("/dex/device/code", form("client_id", "app", "scope", "openid")),
	} {
		answer.wantStatus(http.StatusInternalServerError)
		if !strings.Contains(answer.text("error_description"), "again") {
			t.Errorf("%s: %s", what, answer.body)
		}
	}

	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	// On a busy machine a write of before may still be waiting.
	eventually(t, func() bool { return s.token(refreshForm(refresh)).status == http.StatusOK })
})
