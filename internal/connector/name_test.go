package connector_test

import (
	"testing"

	"dex/internal/connector"
)

func TestFoldName(t *testing.T) {
	for _, same := range [][]string{
		{"jane doe", "Jane Doe", " jane  doe\t", "jane\u00a0doe", "ja\u00adne doe", "ja\u200bne doe", "jane\u2003doe", "j\u034fane doe", "jane doe\ufe0f", "ja\u0000ne doe", "\ufeffjane doe", "ｊａｎｅ　ｄｏｅ", "𝐣𝐚𝐧𝐞 𝐝𝐨𝐞", "jane doe\ufffc"},
		{"josé", "jose\u0301", "JOSÉ", "JOSE\u0301"},
		{"straße", "STRASSE", "straẞe"},
		{"σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"ffi", "\ufb03"},
		{"ǆ", "ǅ", "Ǆ", "dž"},
		{"", " ", "\u200b", "\t\u00ad"},
	} {
		for _, name := range same {
			if got := connector.FoldName(name); got != connector.FoldName(same[0]) || got != connector.FoldName(got) {
				t.Errorf("%q is %q, and %q is %q", name, got, same[0], connector.FoldName(same[0]))
			}
		}
	}
	seen := map[string]string{}
	for _, name := range []string{"jane", "jan e", "jane2", "jané", "jаne", "名前", "名"} { // the fourth but last has a Cyrillic letter
		folded := connector.FoldName(name)
		if other, ok := seen[folded]; ok {
			t.Errorf("%q and %q are the same", name, other)
		}
		seen[folded] = name
	}
}

func FuzzFoldName(f *testing.F) {
	f.Add("Jane\u00a0Doe")
	f.Fuzz(func(t *testing.T, name string) {
		if once := connector.FoldName(name); connector.FoldName(once) != once {
			t.Errorf("%q is %q, and that is %q", name, once, connector.FoldName(once))
		}
	})
}
