package ui

import (
	"log/slog"
	"os"
	"slices"
	"testing"
)

// Every template is a page's. One that isn't would never be shown.
func TestEveryTemplateHasAView(t *testing.T) {
	parts := []string{"header.html", "footer.html"} // of every page
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
	for _, v := range views {
		if len(v.samples(u.samplePage())) == 0 {
			t.Errorf("%s has no sample, so it is checked only when somebody opens its page", v.template)
		}
	}
}
