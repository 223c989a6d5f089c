package kubernetes

import (
	"strings"
	"testing"

	"dex/internal/kubeapi"
)

// TestEncodeIsUpstreams checks names that upstream makes.
func TestEncodeIsUpstreams(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "zpzjzzeeeirsk",
		"foo":               "mzxw7s7sttsiiirdeu",
		"example-app":       "mv4gc3lqnrss2ylqodf7fhheqqrcgji",
		"admin@example.com": "mfsg22loibsxqylnobwgkltdn5w4x4u44scceizf",
	} {
		if got, ok := encode(text); got != want || !ok {
			t.Errorf("encode(%q): got %q, %v; want %q", text, got, ok, want)
		}
	}
	if name, ok := encode(strings.Repeat("x", 150)); !ok || !kubeapi.ValidName(name) || len(name) != 253 {
		t.Errorf("the longest name has %d bytes, %v", len(name), ok)
	}
	if _, ok := encode(strings.Repeat("x", 151)); ok {
		t.Error("a text is encoded that makes too long a name")
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, ".": false, "..": false, "a/b": false, "a/": false, "?": false, "a?b": false, "A": false, "-a": false,
		"a.": false, "a..b": false, "a b": false, "%2e": false, "a%2fb": false, "a\x00": false, "é": false, "a\n": false,
		strings.Repeat("a", 254): false,
		"a":                      true, "a-b.c": true, "0": true, strings.Repeat("a", 253): true,
		recordName("kind", "../.."): true, recordName("\x00", "\xff"): true,
	} {
		if got := kubeapi.ValidName(name); got != want {
			t.Errorf("ValidName(%.40q): got %v", name, got)
		}
	}
}

func TestRecordNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range [][2]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a", "B"}, {"A", "b"}, {"b", "a"}} {
		name := recordName(r[0], r[1])
		if seen[name] {
			t.Errorf("%q has the name of another", r)
		}
		seen[name] = true
		if len(name) != 56 || !strings.HasPrefix(name, "dex-") {
			t.Errorf("%q has the name %q, which one of upstream's objects might have", r, name)
		}
	}
}

func TestKindLabelIsAlwaysValid(t *testing.T) {
	for kind, same := range map[string]bool{
		"login": true, "a.b_c-d": true, strings.Repeat("k", 63): true,
		"": false, strings.Repeat("k", 64): false, "-": false, "a,b": false, "a b": false, "é": false, "a!": false,
	} {
		label := kindLabel(kind)
		if !labelPattern.MatchString(label) || len(label) > kubeapi.MaxLabel || (label == kind) != same {
			t.Errorf("kind %.20q has the label %q", kind, label)
		}
	}
}

func TestRevisionsThatWereNotGivenOutAreNone(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "42": true, "1700000000000.42": true, "-5.42": true,
		"": false, "0": false, "-1": false, "+1": false, "01": false, "1e3": false, "x": false, ".1": false, "1.": false,
		"01.1": false, "1.0": false, "1.2.3": false, "18446744073709551616": false,
	} {
		if r, ok := parseRevision(text); ok != want || ok && r.String() != text {
			t.Errorf("revision %q: got %v, %v", text, r, ok)
		}
	}
}
