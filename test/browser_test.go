package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A tab is a tab in a real browser. Errors on its pages fail the test.
type tab struct {
	ctx context.Context
	t   *testing.T

	mu     sync.Mutex
	faults []string
}

// newBrowser starts a browser with a new profile, which is removed at the end, and returns its first tab.
func newBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no browser, and nothing here is skipped: install chromium, or run make test, which does: %v", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium),
		chromedp.Headless,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), // /dev/shm is small in containers
		chromedp.WindowSize(1024, 768),
	}
	// The test's own context ends before the cleanup, when the tab still has to say where it is.
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), append(options, more...)...)
	t.Cleanup(stop)
	return openTab(t, allocator)
}

// another opens another tab in the same browser.
func (b *tab) another() *tab {
	b.t.Helper()
	return openTab(b.t, b.ctx)
}

func openTab(t *testing.T, parent context.Context) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(parent)
	b := &tab{ctx: ctx, t: t}
	// This starts the browser or opens the tab with a context that no timeout of a later step ends.
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	t.Cleanup(func() {
		if t.Failed() {
			b.describe()
		}
		stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, fault := range b.faults {
			t.Errorf("the browser complains: %s", fault)
		}
	})
	return b
}

// listen collects errors in the console: scripts, security policies, missing files.
func (b *tab) listen(event any) {
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !isStatusOfAPage(e.Entry) {
			b.fault("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.fault("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.fault("console.error")
		}
	}
}

// isStatusOfAPage reports whether a page itself, not a file on it, has an error status: the tests say which pages should.
func isStatusOfAPage(e *log.Entry) bool {
	asset := strings.Contains(e.URL, "/static/") || strings.Contains(e.URL, "/theme/")
	return e.Source == log.EntrySourceNetwork && strings.HasPrefix(e.Text, "Failed to load resource") && !asset
}

func (b *tab) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// do runs actions one after the other.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// result runs an action and returns its result.
func result[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	return value
}

// evaluate evaluates an expression in the page.
func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	return result(b, chromedp.Evaluate[T](expression))
}

// call sends a command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	answer, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("browser: %v", err)
	}
	return answer
}

// describe logs where the tab is.
func (b *tab) describe() {
	ctx, stop := context.WithTimeout(b.ctx, 5*time.Second)
	defer stop()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.t.Logf("the tab shows (%v): %s", err, text)
}

// open loads an address.
func (b *tab) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// see waits until an element is visible.
func (b *tab) see(selector string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// click clicks on what a selector finds, which leads to a page with another element.
func (b *tab) click(selector, then string) {
	b.t.Helper()
	b.leave(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible), then)
}

// follow clicks on a link by its text.
func (b *tab) follow(text, then string) {
	b.t.Helper()
	link := fmt.Sprintf(`//a[contains(normalize-space(.), %q)]`, text)
	b.leave(chromedp.Click(chromedp.Search(link), chromedp.NodeVisible), then)
}

// press presses a key that leads to a page with an element.
func (b *tab) press(key, then string) {
	b.t.Helper()
	b.leave(chromedp.KeyEvent(key), then)
}

// leave runs an action that leads to another page, and waits until that page shows an element. It may look like the page
// before, so that page is marked.
func (b *tab) leave(step chromedp.Action[chromedp.Void], then string) {
	b.t.Helper()
	evaluate[bool](b, `document.documentElement.dataset.before = true`)
	b.do(step)
	eventually(b.t, patience, "another page is loaded", func() bool {
		ctx, stop := context.WithTimeout(b.ctx, patience)
		defer stop()
		const loaded = `document.readyState === "complete" && document.documentElement.dataset.before === undefined`
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](loaded))
		return err == nil && there // between two pages there is nothing to evaluate in
	})
	b.see(then)
}

// fill replaces a field's content.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	// SendKeys would race in chromedp with the page's own changes of the field.
	b.do(chromedp.Clear(chromedp.CSS(selector)), chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(text))
}

// text returns an element's visible text.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return result(b, chromedp.Text(chromedp.CSS(selector), chromedp.NodeVisible))
}

// wantText checks that an element shows a text.
func (b *tab) wantText(selector, want string) {
	b.t.Helper()
	if got := b.text(selector); !strings.Contains(got, want) {
		b.t.Errorf("%s shows %q, want %q", selector, got, want)
	}
}
