package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A template of the operator's that has no field for an email address is not shown for the sake of that: nobody could go on from it
// where all connectors are hidden. What the application knows of the user leads on all the same.
func TestDomainsWithoutFieldForEmail(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	const page = `{{ range .Connectors }}<a href="{{ .URL }}">Log in with {{ .Name }}</a>{{ end }}`
	if err := os.WriteFile(filepath.Join(dir, "templates", "login.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("frontend: {dir: %q}\n", dir)
	hidden := mocked("h", "Hh", ", hidden: true, domains: [h.test]")
	s := startWith(t, noPasswords(loginPages(own, hidden, mocked("i", "Ii", ", hidden: true"))))
	s.get(authPath()).wantRedirectError("access_denied")
	for _, with := range []string{"login_hint", "dex_email"} {
		s.get(authPath(with, "jane@h.test")).wantStatus(http.StatusFound)
	}
	s = startWith(t, noPasswords(loginPages(own, hidden, formed("a", "Aa", ""))))
	b := s.browser()
	form := b.visit(b.visit(authPath()).wantStatus(http.StatusFound).path()).wantStatus(200)
	if strings.Contains(form.body, "another way") {
		t.Error("the form leads back to a choice that is none")
	}
}
