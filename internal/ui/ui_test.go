package ui_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"dex/internal/ui"
)

// newUI returns a UI and what it logs.
func newUI(t testing.TB, cfg ui.Config) (*ui.UI, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	u, err := ui.New(cfg, slog.New(slog.NewTextHandler(&logs, nil)))
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return u, &logs
}

// webDir writes a web directory; files are named by their path in it.
func webDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// show returns the response to a request for a page.
func show(t *testing.T, path string, page http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	page(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// document parses the response to a request for a page.
func document(t *testing.T, page http.HandlerFunc) *html.Node {
	t.Helper()
	return documentAt(t, "/dex/auth", page)
}

func documentAt(t *testing.T, path string, page http.HandlerFunc) *html.Node {
	t.Helper()
	doc, err := html.Parse(show(t, path, page).Body)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// find returns the elements that match, in document order.
func find(doc *html.Node, ok func(*html.Node) bool) []*html.Node {
	var found []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && ok(n) {
			found = append(found, n)
		}
	}
	return found
}

func tags(doc *html.Node, name string) []*html.Node {
	return find(doc, func(n *html.Node) bool { return n.Data == name })
}

func one(t *testing.T, what string, nodes []*html.Node) *html.Node {
	t.Helper()
	if len(nodes) != 1 {
		t.Fatalf("%s: found %d elements, want 1", what, len(nodes))
	}
	return nodes[0]
}

func byID(t *testing.T, doc *html.Node, id string) *html.Node {
	t.Helper()
	return one(t, "#"+id, find(doc, func(n *html.Node) bool { return attr(n, "id") == id }))
}

func byClass(doc *html.Node, class string) []*html.Node {
	return find(doc, func(n *html.Node) bool { return hasClass(n, class) })
}

func hasClass(n *html.Node, class string) bool {
	for _, c := range strings.Fields(attr(n, "class")) {
		if c == class {
			return true
		}
	}
	return false
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

// text is what an element says, with single spaces.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// enclosing returns the closest ancestor with a tag name.
func enclosing(n *html.Node, name string) *html.Node {
	for p := range n.Ancestors() {
		if p.Type == html.ElementNode && p.Data == name {
			return p
		}
	}
	return nil
}

func wantLog(t *testing.T, logs *bytes.Buffer, parts ...string) {
	t.Helper()
	for line := range strings.Lines(logs.String()) {
		if containsAll(line, parts) {
			return
		}
	}
	t.Errorf("no log line has all of %q; logged:\n%s", parts, logs)
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}
