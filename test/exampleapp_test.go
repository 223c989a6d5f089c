package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// The start page of the example application of make run, and of the second one that its README tells how to start.
const (
	firstApp  = "http://127.0.0.1:5555/"
	secondApp = "http://localhost:5565/"
)

// signedIn is in the header of each page of the example application while somebody is signed in.
const signedIn = "#signed-in-as"

// TestExampleAppSessions shows one sign-in and one sign-out for two applications, with the development configuration. It uses that
// configuration's ports, so it must not run in parallel.
func TestExampleAppSessions(t *testing.T) {
	requireFreePorts(t)
	if answersOn("localhost:5565") {
		t.Fatal("localhost:5565, where the second application listens, must be free")
	}
	root := copyForMakeRun(t)
	cmd := exec.Command("dev/run.sh")
	cmd.Dir = root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what a failed test leaves running
		}
	})
	p := startCommand(t, "dev/run.sh", cmd)
	checkMakeRun(t, p)
	second := startIn(t, root, "bin/example-app", secondAppFlags(t)...)
	eventually(t, patience, "the second application listens", func() bool {
		return strings.Contains(second.log.String(), "listening on http://localhost:5565")
	})

	b := newBrowser(t)
	b.open(firstApp) // which asks Dex, and finds out that nobody is signed in
	b.click("#login-button", loginChoice)
	b.follow("Email", "#password")
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, "#claims")
	b.open(firstApp)
	b.see(signedIn)

	other := b.another()
	other.open(secondApp)
	other.click("#login-button", approveButton) // without a password
	other.click(approveButton, "#claims")
	if one, two := payloadOf(t, b.idToken())["sid"], payloadOf(t, other.text("#id-token"))["sid"]; one != two || one == nil {
		t.Errorf("the applications know the session as %v and %v", one, two)
	}
	other.open(secondApp)
	other.see(signedIn)

	t.Run("logout at Dex", func(t *testing.T) {
		b.open(firstApp)
		b.see(signedIn)
		d := b.another()
		d.open("http://localhost:5556/dex/logout")
		d.click("#submit-logout", "h1")
		for _, page := range []*tab{b, other} { // without being loaded again
			page.see("#session .notice")
			page.wantText("#session", "told this application")
			page.wantText("#login-title", "Sign in")
			if evaluate[bool](page, `!!document.querySelector("`+signedIn+`")`) {
				t.Error("the page still says who is signed in")
			}
		}
		b.open(firstApp)
		b.see("#signed-out")
	})
	t.Run("logout at an application, without JavaScript", func(t *testing.T) {
		call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		b.open(firstApp)
		b.click("#login-button", loginChoice)
		b.follow("Email", "#password")
		b.enterPassword(adminEmail, adminPassword, "#claims")
		other.open(secondApp)
		other.click("#login-button", "#claims")
		other.open(secondApp)
		other.see(signedIn)
		b.click("#logout-link", "#login-button") // with a page of Dex on the way, which goes on by itself
		other.see("#session .notice")
		other.wantText("#session", "told this application")
	})

	for _, name := range []string{"told of a logout", "sid="} {
		if !strings.Contains(second.log.String(), name) {
			t.Errorf("the second application's log has no %q", name)
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wantStatus(t, 0)
}

// idToken returns the ID token of the example application's user.
func (b *tab) idToken() string {
	b.t.Helper()
	page := b.another()
	page.open(firstApp + "tokens")
	page.see("#id-token")
	return page.text("#id-token")
}

// secondAppFlags returns the flags of the second application in the README.
func secondAppFlags(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "examples/example-app/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if flags, ok := strings.CutPrefix(line, "bin/example-app --client-id second-app "); ok {
			return append([]string{"--client-id", "second-app"}, strings.Fields(flags)...)
		}
	}
	t.Fatal("the README has no second application")
	return nil
}
