package ui

import (
	"log/slog"
	"os"
	"regexp"
	"slices"
	"testing"
)

// sampleName matches the names of samples, which become parts of addresses.
var sampleName = regexp.MustCompile(`^[a-z]+( [a-z]+)*$`)

// Every template is a page's. One that isn't would never be shown.
func TestEveryTemplateHasAView(t *testing.T) {
	parts := []string{ // of several pages, or of one that is long
		"header.html", "footer.html", "password_form.html", "account_list.html", "factor_links.html", "own_account.html", "own_ways.html",
		"new_password_form.html",
	}
	files, err := os.ReadDir("web/templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := file.Name()
		if !slices.Contains(parts, name) && !slices.ContainsFunc(views, func(v *view) bool { return v.template == name }) {
			t.Errorf("no view shows %s", name)
		}
	}
	u, err := New(Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.checkPages(); err != nil {
		t.Error(err)
	}
	for _, v := range views {
		names := map[string]bool{}
		for _, s := range v.samples(u.samplePage()) {
			if names[s.name] || !sampleName.MatchString(s.name) {
				t.Errorf("%s has a sample named %q: again, or not in a few small words", v.template, s.name)
			}
			names[s.name] = true
		}
		if len(names) == 0 {
			t.Errorf("%s has no sample, so it is checked only when somebody opens its page", v.template)
		}
	}
}
