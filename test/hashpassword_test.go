package e2e

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

const newPassword = "correct horse battery staple"

// TestHashFromAPipe shows that the configuration accepts the printed hash.
func TestHashFromAPipe(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"a line":            newPassword + "\n",
		"a line of Windows": newPassword + "\r\n",
		"no end of line":    newPassword,
	} {
		out := runDex(t, input, "hash-password")
		out.want(t, 0)
		if out.stderr != "" || strings.Count(out.stdout, "\n") != 1 {
			t.Errorf("%s: not one line on standard output: %q, and %q on standard error", name, out.stdout, out.stderr)
		}
		checkHash(t, strings.TrimSpace(out.stdout))
	}
	out := runDex(t, newPassword+"\n", "hash-password", "--algorithm", "argon2id")
	out.want(t, 0)
	if !strings.HasPrefix(out.stdout, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %q", out.stdout)
	}
	checkHash(t, strings.TrimSpace(out.stdout))
}

// checkHash checks that the hash's password signs in, and another one doesn't.
func checkHash(t *testing.T, hash string) {
	t.Helper()
	c := newConfiguration(t).withoutConsent().with("staticPasswords", []section{
		{"email": "jane@example.com", "hash": hash, "username": "jane", "userID": "1"},
	})
	d := startServer(t, binaries.release, c, nil)
	v := newVisitor(d.transport)
	form, err := v.get(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := v.enterPassword(t.Context(), form, "jane@example.com", newPassword+"!")
	if err != nil || wrong.answer != nil {
		t.Fatalf("a wrong password: answer %v, %v", wrong.answer, err)
	}
	right, err := v.enterPassword(t.Context(), form, "jane@example.com", newPassword)
	if err != nil || right.answer.Get("code") == "" {
		t.Errorf("the right password: status %d, answer %v, %v", right.status, right.answer, err)
	}
}

func TestHashRefusesWhatCannotBeHashed(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]struct {
		input string
		args  []string
	}{
		"empty":                 {"\n", nil},
		"too long":              {strings.Repeat("a", 73) + "\n", nil},
		"too long for argon2id": {strings.Repeat("a", 1025) + "\n", []string{"--algorithm", "argon2id"}},
		"another algorithm":     {newPassword, []string{"--algorithm", "scrypt"}},
		"a cost of argon2id":    {newPassword, []string{"--algorithm", "argon2id", "--cost", "10"}},
		"cost too low":          {newPassword, []string{"--cost", "9"}},
		"cost too high":         {newPassword, []string{"--cost", "17"}},
	} {
		out := runDex(t, run.input, append([]string{"hash-password"}, run.args...)...)
		out.want(t, 2)
		if out.stdout != "" || out.stderr == "" {
			t.Errorf("%s: %q on standard output, %q on standard error", name, out.stdout, out.stderr)
		}
		if strings.Contains(out.stderr, strings.TrimSpace(run.input)) && name != "empty" {
			t.Errorf("%s: the message shows the password", name)
		}
	}
}

// TestHashOnATerminal types the password, which must not appear.
func TestHashOnATerminal(t *testing.T) {
	t.Parallel()
	shown, status := typeOnTerminal(t, newPassword, newPassword)
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	if strings.Contains(shown, newPassword) {
		t.Errorf("the password is on the screen: %q", shown)
	}
	lines := strings.Fields(shown)
	checkHash(t, lines[len(lines)-1])

	shown, status = typeOnTerminal(t, newPassword, "something else")
	if status != 2 || !strings.Contains(shown, "differ") {
		t.Errorf("two different passwords: exit status %d, %q", status, shown)
	}
}

// typeOnTerminal answers hash-password's two prompts, each when it appears, and returns what the screen shows.
func typeOnTerminal(t *testing.T, first, second string) (shown string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binaries.release, "hash-password")
	cmd.Env = cleanEnvironment()
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close() //nolint:errcheck // the process has ended
	screen := bufio.NewReader(terminal)
	var seen strings.Builder
	for _, step := range []struct{ prompt, typed string }{{"Password: ", first}, {"Again: ", second}} {
		for !strings.HasSuffix(seen.String(), step.prompt) {
			c, err := screen.ReadByte()
			if err != nil {
				t.Fatalf("waiting for %q, after %q: %v", step.prompt, seen.String(), err)
			}
			seen.WriteByte(c)
		}
		if _, err := io.WriteString(terminal, step.typed+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = io.Copy(&seen, screen)
	if err != nil && !errors.Is(err, syscall.EIO) { // Linux's error for a closed other end
		t.Fatal(err)
	}
	_ = cmd.Wait() // what it says is in ProcessState
	return seen.String(), cmd.ProcessState.ExitCode()
}
