package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my web")
	out, err := dexCommand("web", "export", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"templates in templates/", "robots.txt", "web preview '" + dir + "'", `frontend: {dir: "` + dir + `"}`, "warning: files in this folder don't follow later versions"} {
		if !strings.Contains(out, want) {
			t.Errorf("it doesn't say %q:\n%s", want, out)
		}
	}
	page := filepath.Join(dir, "templates", "login.html")
	if err := os.WriteFile(page, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dexCommand("web", "export", dir); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a folder that isn't empty: %v", err)
	}
	if text, err := os.ReadFile(page); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if out, err := dexCommand("web", "export", "--force", dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if text, err := os.ReadFile(page); err != nil || string(text) == "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWebPreviewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"nowhere":                "stat nowhere: no such file or directory",
		file:                     "is not a folder",
		"--config nowhere":       "open nowhere: no such file or directory",
		"--theme drak":           `no theme "drak" in themes/; there are: auto, dark, light`,
		"a b":                    `unexpected argument "b"`,
		"--addr 127.0.0.1:70000": "--addr",
	} {
		if _, err := dexCommand(append([]string{"web", "preview"}, strings.Fields(line)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	if _, err := dexCommand("web", "prewiev"); err == nil || !strings.Contains(err.Error(), `did you mean "preview"?`) {
		t.Errorf("a misspelt command: %v", err)
	}
}

// startPreview runs a preview until the end of the test, and returns its address.
func startPreview(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	in, out := io.Pipe()
	root := newRoot()
	root.SetArgs(append([]string{"web", "preview", "--addr", "127.0.0.1:0"}, args...))
	root.SetOut(out)
	root.SetErr(t.Output())
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(ctx)
		ended <- err
		out.CloseWithError(err)
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		t.Fatalf("no address: %q, %v", line, err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	_, address, _ := strings.Cut(line, "http://")
	address, _, _ = strings.Cut(address, "/")
	return "http://" + address
}

// The settings of the pages come from a configuration, and from it as it is now; what else is wrong with it doesn't matter.
func TestWebPreviewOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dex.yaml")
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("issuer: https://id.example.com\nstorage: {type: nonsense}\nfrontend: {issuer: Acme login, theme: dark}\nweb: {headers: {X-Frame-Options: SAMEORIGIN}}\n")
	address := startPreview(t, "--config", file, dir)
	get := func() (header http.Header, page string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/dark/en/page/home.html/logged-out", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // was read
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header, string(body)
	}
	if header, page := get(); !strings.Contains(page, "Acme login") || header.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("%v\n%s", header, page)
	}
	configure("frontend:\n  issuer: [Acme]\n")
	if _, page := get(); !strings.Contains(page, file+":2:3: frontend.issuer") || strings.Contains(page, "storage") {
		t.Errorf("a mistake is not shown: %s", page)
	}
	configure("frontend:\n  language: tlh\n")
	if _, page := get(); !strings.Contains(page, "frontend.language") {
		t.Errorf("a mistake is not shown: %s", page)
	}
	configure("frontend: {issuer: Mended}\n")
	if _, page := get(); !strings.Contains(page, "Mended") {
		t.Errorf("the page is %s", page)
	}
}
