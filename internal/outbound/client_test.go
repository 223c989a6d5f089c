package outbound_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/outbound"
)

func TestWhoIsTrusted(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("X-Test")))
	}))
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rootCAs  []string
		insecure bool
		reaches  bool
	}{
		"the system's alone": {nil, false, false},
		"PEM":                {[]string{string(ca)}, false, true},
		"base64":             {[]string{"", base64.StdEncoding.EncodeToString(ca)}, false, true},
		"file":               {[]string{file}, false, true},
		"anybody":            {nil, true, true},
	} {
		client, err := outbound.NewClient(c.rootCAs, c.insecure)
		if err != nil {
			t.Fatal(err)
		}
		status, body, err := outbound.Get(t.Context(), client, s.URL, http.Header{"X-Test": {"hello"}})
		if reached := err == nil && status == http.StatusOK && string(body) == "hello"; reached != c.reaches {
			t.Errorf("%s: reached is %t: %d %q %v", name, reached, status, body, err)
		}
	}
	if _, err := outbound.NewClient([]string{file, "/no/such/file"}, false); err == nil || !strings.Contains(err.Error(), "rootCAs[1]") {
		t.Errorf("a root CA that is none: %v", err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	const limit = 4 << 20
	size := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, size))
	}))
	defer s.Close()
	client, err := outbound.NewClient(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for size = range map[int]bool{limit: true, limit + 1: true} {
		_, body, err := outbound.Get(t.Context(), client, s.URL, nil)
		if tooLong := size > limit; errors.Is(err, outbound.ErrTooLong) != tooLong || !tooLong && len(body) != size {
			t.Errorf("%d bytes: %d bytes, %v", size, len(body), err)
		}
	}
}
