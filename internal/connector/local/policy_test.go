package local

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dex/internal/config"
)

func TestPolicy(t *testing.T) {
	u := &User{Email: "Jane.Doe@example.com", Username: "janedoe12", Name: "Jane von Doe", PreferredUsername: "thejane1"}
	p := &Policy{minLength: 8, maxBytes: MaxBcryptPassword, breached: plainList{shortHash([]byte("password"))}}
	for password, want := range map[string]string{
		"correct horse":          "",
		"ünïcödé":                "at least 8 characters",
		"ünïcödé!":               "",
		"":                       "at least 8",
		strings.Repeat("a", 72):  "",
		strings.Repeat("a", 73):  "at most 72",
		strings.Repeat("ä", 37):  "at most 72",
		"jane.doe@EXAMPLE.com":   "your name",
		" jane.doe@example.com ": "your name",
		"JANE.DOE":               "your name",
		"JaneDoe12":              "your name",
		"jane von doe":           "your name",
		"thejane1":               "your name",
		"janedoe123":             "",
		"password":               "stolen",
		"Password":               "",
	} {
		err := p.Check(password, u)
		unfit, ok := errors.AsType[*Unfit](err)
		if (want == "") != (err == nil) || err != nil && (!ok || !strings.Contains(unfit.Reason, want)) {
			t.Errorf("%q: %v, want %q", password, err, want)
		}
	}
	if err := (&Policy{}).Check("a", &User{}); err != nil {
		t.Errorf("without rules: %v", err)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hashes returns a list as Have I Been Pwned publishes it: of p0, p1 and so on.
func hashes(n int, end string) string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("%X:%d%s", sha1.Sum(fmt.Appendf(nil, "p%d", i)), rand.IntN(1_000_000), end))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestBreachedLists(t *testing.T) {
	text := hashes(500, "\r\n")
	for name, list := range map[string]string{
		"hashes": text, "no end of the last line": strings.TrimRight(text, "\r\n"), "lines of Unix": hashes(500, "\n"),
		"small letters": strings.ToLower(text), "one": hashes(1, "\n"), "two": hashes(2, "\n"),
	} {
		n := strings.Count(strings.TrimSpace(list), "\n") + 1
		l, err := openBreached(write(t, list))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range 2 * n {
			if found, err := l.has(fmt.Sprintf("p%d", i)); err != nil || found != (i < n) {
				t.Fatalf("%s: p%d: %t, %v", name, i, found, err)
			}
		}
	}
	withoutCounts := fmt.Sprintf("%X\n", sha1.Sum([]byte("p0")))
	for name, list := range map[string]string{"without counts": withoutCounts, "plain": "\n\nx y\np0\n", "with a mark": "\ufeffp0\r\nx"} {
		l, err := openBreached(write(t, list))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for password, want := range map[string]bool{"p0": true, "": false, "p": false, "P0": false} {
			if found, err := l.has(password); err != nil || found != want {
				t.Errorf("%s: %q: %t, %v", name, password, found, err)
			}
		}
	}
}

func TestBreachedListsThatCantBeUsed(t *testing.T) {
	lines := strings.SplitAfter(hashes(500, "\n"), "\n")
	slices.Reverse(lines)
	backwards := strings.Join(lines, "")
	large := write(t, "password\n")
	if err := os.Truncate(large, maxPlainList+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file",
		t.TempDir():                        "not a regular file",
		write(t, ""):                       "is empty",
		write(t, backwards):                "not in order",
		write(t, "8846F7EAEE8FB117AD06BDD830B7586C:10\n"):   "NTLM",
		write(t, hashes(500, "\n")+"password\n"):            "no SHA-1 hash",
		write(t, hashes(1, "\n")+"\n"):                      "no SHA-1 hash",
		write(t, hashes(1, "\n")+strings.Repeat("x", 5000)): "no SHA-1 hash",
		large:                                  "larger than 64 MiB",
		write(t, strings.Repeat("x", 100<<10)): "too long",
	} {
		if _, err := openBreached(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// While the list fails nobody can choose a password, as it may be in there; that is no fault of the password.
func TestBreachedListFails(t *testing.T) {
	path := write(t, hashes(100, "\n"))
	l, err := openBreached(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{breached: l}
	fails := func(when string) {
		t.Helper()
		err := p.Check("correct horse", &User{})
		if _, unfit := errors.AsType[*Unfit](err); err == nil || unfit || !strings.Contains(err.Error(), "breachedList") {
			t.Errorf("%s: %v", when, err)
		}
	}
	for when, text := range map[string]string{"shorter": "", "something else": "password\npassword\n", "cut": hashes(1, "\n")[:30]} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fails(when)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	fails("gone")
	if err := os.WriteFile(path, []byte(hashes(100, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Check("correct horse", &User{}); err != nil {
		t.Errorf("back again: %v", err)
	}
}

// A list that can't be read stops the start, where it is named.
func TestReadPolicy(t *testing.T) {
	read := func(path string, files *config.Files) (*Policy, string) {
		src := config.Source{Name: "dex.yaml", Files: files, Data: []byte("issuer: https://dex.test\nstorage: {type: memory}\nweb: {http: ':80'}\n" +
			"enablePasswordDB: true\nlocalUsers:\n  passwords: {minLength: 10, breachedList: '" + path + "'}\n")}
		cfg, problems := src.Load()
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		p, problems := ReadPolicy(cfg)
		if len(problems) == 0 {
			return p, ""
		}
		return p, problems[0].String()
	}
	p, problem := read(write(t, "password123\n"), config.NewFiles())
	if problem != "" {
		t.Fatal(problem)
	}
	for password, ok := range map[string]bool{"password123": false, "short": false, "password1234": true} {
		if err := p.Check(password, &User{}); (err == nil) != ok {
			t.Errorf("%s: %v", password, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	want := "dex.yaml:6:44: localUsers.passwords.breachedList: can't open " + none + ": no such file or directory"
	if _, problem := read(none, config.NewFiles()); problem != want {
		t.Errorf("got %s, want %s", problem, want)
	}
	if _, problem := read(none, config.SkipFiles()); problem != "" {
		t.Errorf("on another machine: %s", problem)
	}
}
