package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// An authenticatorApp is oathtool with the key of an account.
type authenticatorApp struct {
	key  string
	last int64 // the step of the last code
}

// totpStep is how long a code is shown.
const totpStep = 30

func newAuthenticatorApp(key string) *authenticatorApp {
	return &authenticatorApp{key: strings.ReplaceAll(key, " ", "")}
}

// code returns a code that is good now and that the app has not given before: the one that its clock shows if it is a little slow, or
// else a little fast.
func (a *authenticatorApp) code(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix() / totpStep
	a.last = max(a.last+1, now-1)
	if a.last > now+1 {
		time.Sleep(time.Until(time.Unix((a.last-1)*totpStep, 0)))
	}
	at := time.Unix(a.last*totpStep, 0).UTC().Format("2006-01-02 15:04:05 UTC")
	out, err := exec.CommandContext(t.Context(), "oathtool", "--totp", "--base32", "--now", at, a.key).CombinedOutput()
	if err != nil {
		t.Fatalf("oathtool: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// scan reads the QR code that the tab shows, as a phone's camera would, and returns the app with what it says.
func (b *tab) scan() *authenticatorApp {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "screen.png")
	if err := os.WriteFile(file, result(b, chromedp.CaptureScreenshot()), 0o600); err != nil {
		b.t.Fatal(err)
	}
	out, err := exec.CommandContext(b.t.Context(), "zbarimg", "--quiet", "--raw", file).Output()
	if err != nil {
		b.t.Fatalf("zbarimg: %v", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(out)))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Query().Get("issuer") != "Example" {
		b.t.Fatalf("the QR code says %s (%v)", out, err)
	}
	app := newAuthenticatorApp(u.Query().Get("secret"))
	if typed := newAuthenticatorApp(b.text("#totp-secret")); typed.key != app.key {
		b.t.Errorf("the QR code says %s, and the page %s", app.key, typed.key)
	}
	return app
}
