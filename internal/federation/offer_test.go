package federation

import "testing"

// Domains are compared in lower case and in ASCII, and the one that says most counts.
func TestForDomain(t *testing.T) {
	connectors := []*Definition{
		{ID: "all", Domains: []string{"*.example.com"}},
		{ID: "eu", Domains: []string{"*.eu.example.com"}},
		{ID: "exact", Domains: []string{"Example.COM", "a.eu.example.com"}},
		{ID: "second", Domains: []string{"example.com"}},
		{ID: "idn", Domains: []string{"bücher.example", "*.münchen.example"}},
	}
	for address, want := range map[string]string{
		"jane@example.com":                "exact",
		"jane@EXAMPLE.com.":               "exact",
		`"odd@local"@example.com`:         "exact",
		"jane@a.eu.example.com":           "exact",
		"jane@b.eu.example.com":           "eu",
		"jane@eu.example.com":             "all",
		"jane@x.y.example.com":            "all",
		"jane@BÜCHER.example":             "idn",
		"jane@xn--bcher-kva.example":      "idn",
		"jane@amt.xn--mnchen-3ya.example": "idn",
		"jane@münchen.example":            "",
		"jane@notexample.com":             "",
		"jane@example.com.evil.test":      "",
		"jane@com":                        "",
		"jane":                            "",
		"@example.com":                    "",
		"jane@":                           "",
		"jane@exa mple.com":               "",
		"":                                "",
	} {
		got := ""
		if i := ForDomain(connectors, DomainOf(address)); i >= 0 {
			got = connectors[i].ID
		}
		if got != want {
			t.Errorf("%q leads to %q, want %q", address, got, want)
		}
	}
}

func TestNameIn(t *testing.T) {
	d := &Definition{Name: "Company", Names: map[string]string{"de": "Firma", "pt-BR": "Empresa", "fr": ""}}
	for tag, want := range map[string]string{
		"de": "Firma", "de-AT": "Firma", "DE": "Firma", "pt-BR": "Empresa", "pt": "Company", "en": "Company", "fr": "Company",
	} {
		if got := d.NameIn(tag); got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}
