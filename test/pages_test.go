package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// screenshots is the environment variable with the folder for pictures of all pages.
const screenshots = "DEX_SCREENSHOTS"

// narrow is the narrowest window that pages must fit into, in CSS pixels (WCAG 2.2, 1.4.10).
const narrow = 320

// A survey checks pages in all looks, and takes pictures of them.
type survey struct {
	*tab
	dir string
}

func newSurvey(t *testing.T) *survey {
	t.Helper()
	dir := cmp.Or(os.Getenv(screenshots), t.TempDir())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &survey{newBrowser(t), dir}
	s.prefer("light")
	return s
}

func TestPagesOfTheServer(t *testing.T) {
	t.Parallel()
	d, app := startPrograms(t)
	s := newSurvey(t)

	s.open(d.issuer)
	s.look("dex-home")
	s.open(d.endpoint("/no/such/page"))
	s.look("dex-not-found")
	s.open(d.endpoint("/auth?client_id=nobody"))
	s.look("dex-error")
	s.open(d.endpoint("/auth/local/login?state=raaaaaaaaaaaaaaaaaaaaaaaa"))
	s.look("dex-lost-request")

	s.open(app)
	s.click("#login-button", loginChoice)
	s.look("dex-login")
	s.follow("Log in with Email", passwordForm)
	s.look("dex-password")
	s.enterPassword(adminEmail, "not the password", "#login-error")
	s.look("dex-password-error")
	s.enterPassword(adminEmail, adminPassword, approveButton)
	s.look("dex-approval")

	userCode, _ := beginDevice(t, d)
	s.open(d.endpoint("/device"))
	s.look("dex-device")
	s.open(d.endpoint("/device?invalid=true&user_code=" + userCode))
	s.look("dex-device-error")
	s.click("#submit-login", ".dex-user-code")
	s.look("dex-device-confirm")
	s.click(denyButton, ".theme-heading")
	s.look("dex-device-denied")

	s.open(oobRequest(d))
	s.click(approveButton, "#code")
	s.look("dex-oob")
}

// TestPagesWithLongNames checks the pages with unexpectedly long names.
func TestPagesWithLongNames(t *testing.T) {
	t.Parallel()
	word := strings.Repeat("Donaudampfschifffahrt", 6)
	email := strings.ToLower(word)[:64] + "@" + strings.ToLower(word)[:60] + ".example.com"
	c := newConfiguration(t)
	c.with("frontend", section{"issuer": word})
	c.with("connectors", []section{{"type": "mockCallback", "id": "mock", "name": word}})
	c.with("staticClients", []section{
		{"id": clientID, "name": word, "secret": clientSecret, "redirectURIs": []string{callbackURL}},
	})
	c.with("staticPasswords", []section{
		{"email": email, "hash": adminHash, "username": word, "userID": "1"},
	})
	d := startDex(t, c)
	s := newSurvey(t)
	s.open(d.authURL("/auth", nil))
	s.look("dex-login-long")
	s.follow("Log in with Email", passwordForm)
	s.enterPassword(email, "not the password", "#login-error")
	s.look("dex-password-long")
	s.enterPassword(email, adminPassword, approveButton)
	s.look("dex-approval-long")
}

func TestPagesOfTheExampleApplication(t *testing.T) {
	t.Parallel()
	_, app := startPrograms(t)
	s := newSurvey(t)
	s.open(app)
	s.look("app-start")
	s.open(app + "/no/such/page")
	s.look("app-not-found")

	s.beginLogin(app)
	s.enterPassword(adminEmail, adminPassword, approveButton)
	s.click(denyButton, "#error")
	s.look("app-error")

	s.beginLogin(app)
	s.enterPassword(adminEmail, adminPassword, approveButton)
	s.click(approveButton, "#claims")
	s.look("app-tokens")
	s.open(app)
	s.look("app-signed-in")
	s.open(app + "/grant/refresh")
	s.look("app-refresh")
	s.open(app + "/tools/userinfo")
	s.look("app-userinfo-form")
	s.click("#userinfo-button", "#userinfo")
	s.look("app-userinfo")
}

// look checks the open page with everything unfolded, and takes pictures of it in light, dark, and narrow.
func (s *survey) look(name string) {
	s.t.Helper()
	s.see("h1")
	evaluate[chromedp.Void](s.tab, `document.querySelectorAll("details").forEach(d => { d.open = true })`)
	if n := evaluate[int](s.tab, `document.querySelectorAll("h1").length`); n != 1 {
		s.t.Errorf("%s: %d headings of the first level, want 1", name, n)
	}
	if title := evaluate[string](s.tab, `document.title`); title == "" {
		s.t.Errorf("%s has no title", name)
	}
	if lang := evaluate[string](s.tab, `document.documentElement.lang`); lang == "" {
		s.t.Errorf("%s doesn't say its language", name)
	}
	s.checkLabels(name)

	s.picture(name + "-light")
	s.prefer("dark")
	s.picture(name + "-dark")
	s.prefer("light")
	call(s.tab, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: narrow, Height: 640, DeviceScaleFactor: 1})
	s.picture(name + "-narrow")
	s.checkOverflow(name)
	if strings.HasPrefix(name, "dex-") {
		s.checkLargeText(name)
	}
	call(s.tab, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
}

// prefer sets the user's preferred color scheme to light or dark.
func (s *survey) prefer(scheme string) {
	s.t.Helper()
	call(s.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// picture takes a picture of the whole page.
func (s *survey) picture(name string) {
	s.t.Helper()
	png := result(s.tab, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(s.dir, name+".png"), png, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// checkOverflow looks for elements that are wider than the window.
func (s *survey) checkOverflow(name string) {
	s.t.Helper()
	if width := evaluate[int](s.tab, `innerWidth`); width != narrow {
		s.t.Fatalf("%s: the window is %d pixels wide, want %d", name, width, narrow)
	}
	if width := evaluate[int](s.tab, `document.documentElement.scrollWidth`); width > narrow {
		s.t.Errorf("%s: %d pixels wide in a window of %d", name, width, narrow)
	}
}

// checkLargeText looks for what doesn't fit into the window when text alone is twice as large (WCAG 2.2, 1.4.4), buttons that stick out of
// what they are in among it.
func (s *survey) checkLargeText(name string) {
	s.t.Helper()
	evaluate[bool](s.tab, `(document.documentElement.style.fontSize = "200%", true)`)
	s.picture(name + "-large")
	s.checkOverflow(name + ", large text")
	outside := evaluate[[]string](s.tab, `[...document.querySelectorAll(".theme-panel :is(button, a, input, select)")]
		.filter(e => e.type !== "hidden" && e.offsetParent && e.getBoundingClientRect().right > e.closest(".theme-panel").getBoundingClientRect().right)
		.map(e => e.outerHTML)`)
	if len(outside) > 0 {
		s.t.Errorf("%s: with large text these stick out:\n%s", name, strings.Join(outside, "\n"))
	}
	evaluate[bool](s.tab, `(document.documentElement.style.fontSize = "", true)`)
}

// checkLabels looks for fields without a name for screen readers.
func (s *survey) checkLabels(name string) {
	s.t.Helper()
	nameless := evaluate[[]string](s.tab, `[...document.querySelectorAll("input, select, textarea")]
		.filter(e => e.type !== "hidden" && e.type !== "submit")
		.filter(e => ![...e.labels].some(l => l.innerText.trim()) && !e.ariaLabel)
		.map(e => e.outerHTML)`)
	if len(nameless) > 0 {
		s.t.Errorf("%s: fields without a label:\n%s", name, strings.Join(nameless, "\n"))
	}
	buttons := evaluate[[]string](s.tab, `[...document.querySelectorAll("button, a")]
		.filter(e => !e.innerText.trim() && !e.ariaLabel)
		.map(e => e.outerHTML)`)
	if len(buttons) > 0 {
		s.t.Errorf("%s: buttons and links without a name:\n%s", name, strings.Join(buttons, "\n"))
	}
}
