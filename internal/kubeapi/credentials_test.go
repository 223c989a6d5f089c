package kubeapi

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenIsReadAgainWhenItIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "token")
		write := func(token string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("first")
		f, err := newTokenFile(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		want := func(when, header string) {
			t.Helper()
			if got := f.header(); got != header {
				t.Errorf("%s: got %q, want %q", when, got, header)
			}
		}
		write("second")
		want("while it is young", "Bearer first")
		time.Sleep(tokenAge + time.Second)
		want("when it is old", "Bearer second")
		write("")
		time.Sleep(tokenAge + time.Second)
		want("when the file is empty", "Bearer second")
		write("third")
		if !f.refused("Bearer second") {
			t.Error("there is another token, but it is not tried after the first was refused")
		}
		want("after it was refused", "Bearer third")
		if f.refused("Bearer third") {
			t.Error("there is no other token, but the same is tried again")
		}
	})
}

func TestNamespaceOfAPod(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "namespace"), []byte("from-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"kubernetes.io/serviceaccount/namespace":"from-token"}`))
	for _, c := range []struct{ environment, token, want string }{
		{"from-env", "x." + claims + ".x", "from-env"},
		{"", "x." + claims + ".x", "from-token"},
		{"", "no JWT", "from-file"},
		{"", "a.b.c", "from-file"},
	} {
		t.Setenv("KUBERNETES_POD_NAMESPACE", c.environment)
		if got, err := podNamespace(folder, c.token); got != c.want || err != nil {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
	t.Setenv("KUBERNETES_POD_NAMESPACE", "../other")
	if _, err := podNamespace(folder, ""); err == nil {
		t.Error("a namespace is accepted that would lead elsewhere")
	}
}
