package sealed_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/store/sealed"
)

var (
	firstKey  = strings.Repeat("first", 7)
	secondKey = strings.Repeat("2nd", 12)
)

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return file
}

func TestReadKeys(t *testing.T) {
	probe, err := sealed.ReadKeys(environment(map[string]string{sealed.KeyVariable: firstKey}), "")
	if err != nil {
		t.Fatalf("ReadKeys: %v", err)
	}
	text, err := probe.SealText("kind", "key", []byte("document"))
	if err != nil {
		t.Fatalf("SealText: %v", err)
	}
	for name, c := range map[string]struct {
		env    map[string]string
		file   string
		opens  bool // what firstKey sealed
		reseal bool // firstKey comes first
	}{
		"nothing":         {},
		"variable":        {env: map[string]string{sealed.KeyVariable: firstKey}, opens: true, reseal: true},
		"several":         {env: map[string]string{sealed.KeyVariable: " " + secondKey + " , " + firstKey + ",\n"}, opens: true},
		"another":         {env: map[string]string{sealed.KeyVariable: secondKey}},
		"twice the same":  {env: map[string]string{sealed.KeyVariable: firstKey + "," + firstKey}, opens: true, reseal: true},
		"file":            {file: write(t, firstKey, 0o600), opens: true, reseal: true},
		"file, comments":  {file: write(t, "# new\r\n"+secondKey+"\r\n\r\n  # old\r\n"+firstKey, 0o640), opens: true},
		"file, commented": {file: write(t, "#"+firstKey+"\n"+secondKey+"\n", 0o400)},
		"file by variable": {
			env: map[string]string{sealed.FileVariable: write(t, firstKey+"\n", 0o600)}, opens: true, reseal: true,
		},
	} {
		keys, err := sealed.ReadKeys(environment(c.env), c.file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		document, err := keys.OpenText("kind", "key", text)
		if c.opens != (err == nil && string(document) == "document") {
			t.Errorf("%s: OpenText: got %q and error %v", name, document, err)
		}
		again, err := keys.SealText("kind", "key", nil)
		if keys.Any() != (err == nil) {
			t.Errorf("%s: SealText: error %v", name, err)
		}
		if sameKey := err == nil && again[:8] == text[:8]; sameKey != c.reseal {
			t.Errorf("%s: the first key is firstKey: %t", name, sameKey)
		}
		if len(keys.Warnings()) > 0 {
			t.Errorf("%s: got warnings %q", name, keys.Warnings())
		}
	}
}

func TestReadKeysErrors(t *testing.T) {
	short := "only 31 characters of a secret!"
	for name, c := range map[string]struct {
		env  map[string]string
		file string
		want []string
	}{
		"short":            {env: map[string]string{sealed.KeyVariable: short}, want: []string{"DEX_STORAGE_KEY", "entry 1", "31 characters", "at least 32", "openssl rand"}},
		"one is short":     {env: map[string]string{sealed.KeyVariable: firstKey + "," + short}, want: []string{"entry 2"}},
		"short, wide":      {env: map[string]string{sealed.KeyVariable: strings.Repeat("é", 31)}, want: []string{"31 characters"}},
		"empty":            {env: map[string]string{sealed.KeyVariable: ""}, want: []string{"DEX_STORAGE_KEY holds no key"}},
		"empty name":       {env: map[string]string{sealed.FileVariable: ""}, want: []string{"DEX_STORAGE_KEY_FILE is empty"}},
		"short in file":    {file: write(t, "# it is\n"+short, 0o600), want: []string{"storage.keyFile", "entry 2", "at least 32"}},
		"empty file":       {file: write(t, "# none\n", 0o600), want: []string{"storage.keyFile", "holds no key"}},
		"no such file":     {file: "/no/such/file", want: []string{"storage.keyFile", "/no/such/file"}},
		"no file, by name": {env: map[string]string{sealed.FileVariable: "/no/such/file"}, want: []string{"DEX_STORAGE_KEY_FILE"}},
		"folder":           {file: t.TempDir(), want: []string{"storage.keyFile"}},
		"large file":       {file: write(t, strings.Repeat(short+"\n", 5000), 0o600), want: []string{"larger than"}},
		"twice": {
			env:  map[string]string{sealed.KeyVariable: firstKey, sealed.FileVariable: "f"},
			want: []string{"DEX_STORAGE_KEY and DEX_STORAGE_KEY_FILE"},
		},
		"twice, by setting": {
			env: map[string]string{sealed.KeyVariable: firstKey}, file: "f", want: []string{"DEX_STORAGE_KEY and storage.keyFile"},
		},
	} {
		keys, err := sealed.ReadKeys(environment(c.env), c.file)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in error %v", name, want, err)
			}
		}
		if strings.Contains(err.Error(), short) || strings.Contains(err.Error(), firstKey) {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
		if keys.Any() {
			t.Errorf("%s: got keys with the error", name)
		}
	}
}

func TestFilesThatOthersCanReadAreWarnedOf(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{
		0o400: false, 0o600: false, 0o640: false, 0o440: false, 0o644: true, 0o604: true, 0o660: true, 0o602: true,
	} {
		keys, err := sealed.ReadKeys(environment(nil), write(t, firstKey, mode))
		if err != nil {
			t.Errorf("%v: %v", mode, err)
			continue
		}
		warnings := strings.Join(keys.Warnings(), "\n")
		if got := strings.Contains(warnings, "permissions"); got != want || strings.Contains(warnings, firstKey) {
			t.Errorf("%v: got warnings %q, want one: %t", mode, warnings, want)
		}
	}
}

func TestKeysPrintNothingSecret(t *testing.T) {
	keys, err := sealed.ReadKeys(environment(map[string]string{sealed.KeyVariable: firstKey}), "")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "keys", keys, "pointer", &keys)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "keys", keys)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&log, verb+" "+verb+"\n", keys, &keys)
	}
	for line := range strings.Lines(log.String()) {
		if !strings.Contains(line, "storage keys (1)") && !strings.Contains(line, `"keys":{}`) {
			t.Errorf("keys print as %s", line)
		}
	}
}
