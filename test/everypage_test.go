package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A gallery is the preview of all pages, in all languages.
type gallery struct {
	address   string
	pages     []string // below theme and language, such as page/login.html/one-connector
	languages []galleryLanguage
}

type galleryLanguage struct {
	tag, dir string
}

var (
	galleryPage      = regexp.MustCompile(`href="/auto/en/(page/[^"]+)"`)
	otherLanguage    = regexp.MustCompile(`href="/auto/([^"/]+)/"`)
	pageDirection    = regexp.MustCompile(`<html lang="[^"]+" dir="(ltr|rtl)"`)
	templateOfSample = regexp.MustCompile(`^page/([^/]+)\.html/`)
)

// openGallery starts a preview in which every page has all that a configuration may add to it, with more settings for pages.
func openGallery(t *testing.T, more section) *gallery {
	t.Helper()
	c := newConfiguration(t)
	c.with("frontend", section{"issuer": "Example", "extra": section{
		"helpURL": "https://example.com/help", "privacyURL": "https://example.com/privacy", "termsURL": "https://example.com/terms",
	}}).with("frontend", more)
	p := startCommand(t, "preview", exec.Command(binaries.release, "web", "preview", "--addr", "127.0.0.1:0", "--config", c.write(t)))
	eventually(t, patience, "the preview says its address", func() bool { return previewAddress.MatchString(p.log.String()) })
	g := &gallery{address: previewAddress.FindString(p.log.String())}

	v := newVisitor(newTransport(nil))
	get := func(path string) string {
		page, err := v.get(t.Context(), g.address+path)
		if err != nil {
			t.Fatal(err)
		}
		return page.body
	}
	index := get("/auto/en/")
	for _, found := range galleryPage.FindAllStringSubmatch(index, -1) {
		g.pages = append(g.pages, found[1])
	}
	if len(g.pages) < 20 {
		t.Fatalf("the preview has only %v", g.pages)
	}
	for _, found := range otherLanguage.FindAllStringSubmatch(index, -1) {
		if slices.ContainsFunc(g.languages, func(l galleryLanguage) bool { return l.tag == found[1] }) {
			continue // the theme's own link leads here too
		}
		dir := pageDirection.FindStringSubmatch(get("/auto/" + found[1] + "/" + g.pages[0]))
		if dir == nil {
			t.Fatalf("the pages in %s have no direction", found[1])
		}
		g.languages = append(g.languages, galleryLanguage{found[1], dir[1]})
	}
	return g
}

// three returns English, another language from left to right, and one from right to left.
func (g *gallery) three(t *testing.T) []string {
	t.Helper()
	three := []string{"en"}
	for _, wanted := range []galleryLanguage{{"de", "ltr"}, {"ar", "rtl"}} {
		i := slices.Index(g.languages, wanted)
		if i < 0 {
			i = slices.IndexFunc(g.languages, func(l galleryLanguage) bool { return l.tag != "en" && l.dir == wanted.dir })
		}
		if i >= 0 {
			three = append(three, g.languages[i].tag)
		}
	}
	if len(three) < min(3, len(g.languages)) {
		t.Fatalf("of %v only %v can be looked at: a language of the other direction is missing", g.languages, three)
	}
	return three
}

// each looks at every page in some languages, those of each template in a tab of their own.
func (g *gallery) each(t *testing.T, languages []string, look func(v *view)) {
	t.Helper()
	b := newBrowser(t)
	code := pageChecks(t)
	byTemplate := map[string][]string{}
	for _, page := range g.pages {
		template := templateOfSample.FindStringSubmatch(page)[1]
		byTemplate[template] = append(byTemplate[template], page)
	}
	t.Run("pages", func(t *testing.T) { // which ends before the browser does
		for template, pages := range byTemplate {
			t.Run(template, func(t *testing.T) {
				t.Parallel()
				v := &view{tab: openTab(t, b.ctx), code: code}
				v.media(nil)
				for _, language := range languages {
					for _, page := range pages {
						v.name = language + "/" + page
						v.window(1280, 800)
						v.open(g.address + "/auto/" + language + "/" + page)
						v.check("", "headings()", "fields()")
						look(v)
					}
				}
			})
		}
	})
}

// A view is a page in a browser that checks it.
type view struct {
	*tab
	code, name string
}

// pageChecks returns the script with the checks.
func pageChecks(t *testing.T) string {
	t.Helper()
	code, err := os.ReadFile(filepath.Join("accessibility", "checks.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(code) + "\n"
}

// open loads a page, and the checks into it.
func (v *view) open(address string) {
	v.t.Helper()
	v.tab.open(address)
	v.bring()
}

// bring loads the checks into the open page.
func (v *view) bring() {
	v.t.Helper()
	evaluate[chromedp.Void](v.tab, `globalThis.checks || (() => {`+v.code+`})()`)
}

// check runs checks of the script.
func (v *view) check(when string, checks ...string) {
	v.t.Helper()
	for _, wrong := range v.found(checks...) {
		v.t.Errorf("%s: %s%s", v.name, when, wrong)
	}
}

// found returns what checks of the script find.
func (v *view) found(checks ...string) []string {
	v.t.Helper()
	expression := `(async () => (await Promise.all([checks.` + strings.Join(checks, ", checks.") + `])).flat())()`
	return result(v.tab, chromedp.Evaluate[[]string](expression, chromedp.EvalAwaitPromise))
}

// act runs one of the script's functions that change the page.
func (v *view) act(function string) {
	v.t.Helper()
	evaluate[chromedp.Void](v.tab, `checks.`+function)
}

// window sets the size of the window, in CSS pixels.
func (v *view) window(width, height int64) {
	v.t.Helper()
	call(v.tab, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
}

// media sets what the user prefers. Nothing moves: colours between two others are nobody's.
func (v *view) media(features map[string]string) {
	v.t.Helper()
	all := map[string]string{"prefers-color-scheme": "light", "prefers-reduced-motion": "reduce", "forced-colors": "none"}
	params := emulation.SetEmulatedMediaParams{}
	for name, value := range all {
		if other, ok := features[name]; ok {
			value = other
		}
		params.Features = append(params.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	call(v.tab, emulation.SetEmulatedMedia, params)
}

// TestEveryPageFits shows that in every language nothing is cut, overlaps or scrolls sideways in the narrowest window, and that
// the main button can be pressed without scrolling.
func TestEveryPageFits(t *testing.T) {
	t.Parallel()
	g := openGallery(t, nil)
	var all []string
	for _, l := range g.languages {
		all = append(all, l.tag)
	}
	g.each(t, all, func(v *view) {
		v.fit(narrow, 640)
	})
}

// fit checks the open page in a window.
func (v *view) fit(width, height int64) {
	v.t.Helper()
	v.window(width, height)
	checks := []string{"fits()", "overlaps()"}
	if !listPage.MatchString(v.name) {
		checks = append(checks, "mainButton()")
	}
	v.check(fmt.Sprintf("at %d px: ", width), checks...)
}

// listPage is the name of a page on which something of any height comes before the button.
var listPage = regexp.MustCompile(`/(login|home|own_password|recovery_codes)\.html/|/totp_verify\.html/setting-up`)

// TestEveryPageIsAccessible has axe-core look at every page in both themes, goes through it by keyboard, and shows that nothing is lost
// in other windows, in larger text and in forced colours. What axe-core and the keyboard find depends on a page's elements, colours and
// direction, which are the same in all languages of one direction, so one of each is enough for them. How long the words are
// isn't the same, so a third language is looked at in all windows; TestEveryPageFits has every language in the narrowest.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(filepath.Join(npmInstall(t, "accessibility"), "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	g := openGallery(t, nil)
	languages := g.three(t)
	g.each(t, languages, func(v *view) {
		if longWords := len(languages) == 3 && strings.HasPrefix(v.name, languages[1]+"/"); !longWords {
			evaluate[chromedp.Void](v.tab, string(axe))
			v.operable()
		}
		v.roomy()
	})
}

// operable checks the open page, which has axe-core, in both themes and in forced colours, for readers' programs and by keyboard.
func (v *view) operable() {
	v.t.Helper()
	v.check("", "moving()")
	v.check("light: ", "axe()")
	v.walk("light: ")
	v.media(map[string]string{"prefers-color-scheme": "dark"})
	v.check("dark: ", `axe(["color-contrast", "link-in-text-block"])`)
	v.check("dark: ", "everyStop()")
	v.media(map[string]string{"forced-colors": "active"})
	v.check("forced colours: ", "bordered()")
	v.check("forced colours: ", "everyStop()")
	v.media(nil)
}

// roomy checks that nothing on the open page is lost in other windows and in larger text.
func (v *view) roomy() {
	v.t.Helper()
	v.fit(1280, 800)
	v.fit(768, 1024)
	v.window(640, 400) // 200 % zoom
	v.check("zoomed: ", "fits()", "overlaps()")
	// Readers may set lines, letters and words further apart, and text alone twice as large.
	v.window(narrow, 640)
	v.act("space(true)")
	v.check("spaced: ", "fits()", "overlaps()")
	v.act("space(false)")
	v.act("remember()")
	v.act(`resize("200%")`)
	for _, width := range []int64{1280, 360} {
		v.window(width, 800)
		v.check(fmt.Sprintf("large text at %d px: ", width), "fits()", "overlaps()", "doubled()")
	}
}

// walk goes through everything on the page that takes the keyboard.
func (v *view) walk(when string) {
	v.t.Helper()
	for i := range evaluate[int](v.tab, `checks.begin()`) {
		v.do(chromedp.KeyEvent(kb.Tab))
		v.check(when, fmt.Sprintf("stop(%d)", i))
	}
}
