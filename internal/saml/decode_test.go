package saml_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"strings"
	"testing"

	"dex/internal/saml"
)

func deflated(t testing.TB, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestDecodePost(t *testing.T) {
	lines := "PHg+\r\n aGVs\n\tbG88L3g+\n"
	decoded, err := saml.DecodePost(lines)
	if err != nil || string(decoded) != "<x>hello</x>" {
		t.Errorf("it is %q, %v", decoded, err)
	}
	if _, err := saml.DecodePost(base64.StdEncoding.EncodeToString(make([]byte, 2<<20))); err != nil {
		t.Errorf("2 MiB: %v", err)
	}
	for name, value := range map[string]string{
		"not base64":      "<x/>",
		"URL alphabet":    base64.URLEncoding.EncodeToString([]byte("\xff\xfe\xfd")),
		"no padding":      "PHg",
		"too long":        base64.StdEncoding.EncodeToString(make([]byte, 2<<20+1)),
		"much too long":   strings.Repeat("A", 10<<20),
		"much whitespace": strings.Repeat(" ", 10<<20),
	} {
		if decoded, err := saml.DecodePost(value); err == nil {
			t.Errorf("%s: it is %d bytes", name, len(decoded))
		}
	}
}

func TestDecodeRedirect(t *testing.T) {
	decoded, err := saml.DecodeRedirect(deflated(t, []byte("<x>hello</x>")))
	if err != nil || string(decoded) != "<x>hello</x>" {
		t.Errorf("it is %q, %v", decoded, err)
	}
	if decoded, err := saml.DecodeRedirect(deflated(t, make([]byte, 2<<20))); err != nil || len(decoded) != 2<<20 {
		t.Errorf("2 MiB: %d bytes, %v", len(decoded), err)
	}
	whole := deflated(t, []byte("<x>hello</x>"))
	raw, err := base64.StdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"not base64":   "%",
		"not deflated": base64.StdEncoding.EncodeToString([]byte("<x>hello</x>")),
		"empty":        "",
		"cut short":    base64.StdEncoding.EncodeToString(raw[:len(raw)-3]),
		"goes on":      base64.StdEncoding.EncodeToString(append(raw, "more"...)),
		"a bomb":       deflated(t, make([]byte, 1<<28)),
	} {
		if decoded, err := saml.DecodeRedirect(value); err == nil {
			t.Errorf("%s: it is %d bytes", name, len(decoded))
		}
	}
}

// Whatever comes in, the result is bounded, and encoding it and decoding it again gives the same.
func FuzzDecodeRedirect(f *testing.F) {
	f.Add("PHg+")
	f.Add(deflated(f, []byte(plainResponse)))
	f.Add(deflated(f, make([]byte, 100_000)))
	f.Fuzz(func(t *testing.T, value string) {
		decoded, err := saml.DecodeRedirect(value)
		if err != nil {
			return
		}
		if len(decoded) > 2<<20 {
			t.Fatalf("it is %d bytes", len(decoded))
		}
		again, err := saml.DecodeRedirect(deflated(t, decoded))
		if err != nil || !bytes.Equal(decoded, again) {
			t.Fatalf("it is not the same again: %v", err)
		}
	})
}
