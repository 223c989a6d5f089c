package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var (
	previewAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	previewedPage  = regexp.MustCompile(`href="(/auto/en/page/[^"]+)"`)
)

// TestPreview shows that an exported page can be edited in front of a browser: all pages are there, keep to the policy and stay
// where they are, and a page follows its file.
func TestPreview(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "web")
	runDex(t, "", "web", "export", dir).want(t, 0)
	p := startCommand(t, "preview", exec.Command(binaries.dex, "web", "preview", "--addr", "127.0.0.1:0", dir))
	eventually(t, patience, "the preview says its address", func() bool { return previewAddress.MatchString(p.log.String()) })
	address := previewAddress.FindString(p.log.String())

	transport := newTransport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	index, err := newVisitor(transport).get(t.Context(), address+"/auto/en/")
	if err != nil {
		t.Fatal(err)
	}
	pages := previewedPage.FindAllStringSubmatch(index.body, -1)
	if index.status != http.StatusOK || len(pages) < 20 {
		t.Fatalf("status %d, pages %v", index.status, pages)
	}
	b := newBrowser(t)
	for _, page := range pages {
		b.open(address + page[1])
		b.see("h1")
		if got := evaluate[string](b, `location.pathname`); got != page[1] {
			t.Errorf("%s leads to %s", page[1], got)
		}
	}

	// Each step waits for the one before to be on the screen, without anybody touching the browser.
	const page = "/auto/en/page/oob.html/code"
	b.open(address + page)
	b.see("#code")
	for _, step := range []struct{ text, shows string }{
		{`<h1>{{ .Cod }}</h1>`, "oob.html:1"},
		{`<h1>Mended</h1>`, "Mended"},
		{`{{ template "header.html" . }}<h1>{{ issuer }} again</h1>{{ template "footer.html" . }}`, "dex again"},
	} {
		writeFile(t, filepath.Join(dir, "templates"), "oob.html", step.text)
		eventually(t, patience, "the page shows "+step.shows, func() bool { return strings.Contains(shown(b), step.shows) })
	}
}

// shown returns what a page that may be loading says.
func shown(b *tab) string {
	ctx, stop := context.WithTimeout(b.ctx, 5*time.Second)
	defer stop()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return ""
	}
	return text
}
