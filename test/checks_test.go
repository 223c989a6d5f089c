package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestChecksFindFaults shows that each check of pages finds what it looks for, and nothing on a page without faults.
func TestChecksFindFaults(t *testing.T) {
	t.Parallel()
	const good = `<h1>Title</h1><form><label for=a>Name</label> <input id=a autocomplete=username style="border: 1px solid">
		<button class=theme-btn--primary style="border: 1px solid">Go</button></form>`
	v := &view{tab: newBrowser(t), code: pageChecks(t)}
	v.media(nil)
	for _, test := range []struct{ page, check, want string }{
		{good + `<p style="width: 400px">text</p>`, "fits()", "scrolls sideways"},
		{good + `<p style="white-space: nowrap; width: 50px">a long text without an end</p>`, "fits()", "sticks out at the side"},
		{good + `<p style="overflow: hidden; white-space: nowrap; width: 50px">a long text without an end</p>`, "fits()", "is cut at the side"},
		{good + `<p style="overflow: hidden; width: 50px; height: 20px">a long text without an end</p>`, "fits()", "is cut above or below"},
		{good + `<p style="height: 20px; width: 50px">a long text without an end</p>`, "fits()", "sticks out above or below"},
		{good + `<p style="margin-top: -30px">text</p>`, "overlaps()", "overlap"},
		{good + `<button style="margin-top: -30px; position: absolute">text</button>`, "overlaps()", "button"},
		{`<div style="height: 900px"></div>` + good, "mainButton()", "out of sight"},
		{good + `<div style="position: fixed; inset: 0; background: red"></div>`, "mainButton()", "covered"},
		{good + `<h3>Too deep</h3>`, "headings()", "1,3"},
		{`<h2>Too deep</h2>` + good, "headings()", "2,1"},
		{good + `<h1>Again</h1>`, "headings()", "1,1"},
		{good + `<input autocomplete=off>`, "fields()", "no label"},
		{good + `<label>a <input></label>`, "fields()", "no autocomplete"},
		{good + `<label>a <input autocomplete=off aria-invalid=true></label>`, "fields()", "no live message"},
		{good + `<a href="/"></a>`, "fields()", "no name"},
		{good + `<button style="border: 0; background: #eee">a</button>`, "bordered()", "no edge"},
		{good + `<button style="transition: color 1s">a</button>`, "moving()", "moves"},
		{good + `<p style="font-size: 16px">small</p>`, "doubled()", "small"},
	} {
		v.load(good)
		if wrong := v.found(test.check); len(wrong) > 0 {
			t.Errorf("%s finds on a page without faults: %v", test.check, wrong)
		}
		v.load(test.page)
		if wrong := v.found(test.check); !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, test.want) }) {
			t.Errorf("%s finds %v on %s, want %q", test.check, wrong, test.page, test.want)
		}
	}
	for _, test := range []struct{ page, want string }{
		{`<button>a</button>`, ""},
		{`<button style="outline: none">a</button>`, "nothing shows"},
		{`<button style="outline: 3px solid #eee">a</button>`, "hardly"},
		{`<button>a</button><div style="position: fixed; inset: 0; background: red"></div>`, "covered"},
		{`<div style="display: flex; flex-direction: column-reverse"><button>a</button><button>b</button></div>`, "Tab goes back"},
		{`<div style="display: flex; flex-direction: row-reverse"><button>a</button><button>b</button></div>`, "Tab goes back"},
		{`<button>a</button><button tabindex=1>b</button>`, "instead of"},
	} {
		v.load(test.page)
		var wrong []string
		for i := range evaluate[int](v.tab, `checks.begin()`) {
			v.do(chromedp.KeyEvent(kb.Tab))
			wrong = append(wrong, v.found(fmt.Sprintf("stop(%d)", i))...)
		}
		if all := strings.Join(wrong, "\n"); !strings.Contains(all, test.want) || test.want == "" && all != "" {
			t.Errorf("the keyboard finds %q on %s, want %q", all, test.page, test.want)
		}
	}
}

// load shows a page that has a body, in a narrow window and with text twice as large as when it came.
func (v *view) load(body string) {
	v.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<!DOCTYPE html><html lang=en><link rel=icon href="data:,"><style>button { font: inherit } :focus-visible { outline: 2px solid #00f }</style><body>`, body)
	}))
	defer server.Close()
	v.window(narrow, 568)
	v.open(server.URL)
	v.act("remember()")
	v.act(`resize("200%")`)
}
