package ui

import (
	"os"
	"slices"
	"testing"
)

// Every page has a sample. A template without one would be checked only when somebody opens its page.
func TestEveryPageHasASample(t *testing.T) {
	parts := []string{"header.html", "footer.html"} // of every page
	files, err := os.ReadDir("web/templates")
	if err != nil {
		t.Fatal(err)
	}
	samples := (&UI{}).samples()
	for _, file := range files {
		name := file.Name()
		if !slices.Contains(parts, name) && !slices.ContainsFunc(samples, func(s sample) bool { return s.template == name }) {
			t.Errorf("samples has no page that shows %s", name)
		}
	}
}
