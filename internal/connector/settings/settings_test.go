package settings_test

import (
	"slices"
	"testing"
	"time"

	"dex/internal/config"
	"dex/internal/connector/settings"
)

type example struct {
	Mode  string         `key:"mode"`
	Name  string         `key:"name"`
	Count int            `key:"count"`
	URL   string         `key:"url"`
	Wait  *time.Duration `key:"wait"`
}

func TestCheck(t *testing.T) {
	for document, want := range map[string][]string{
		`{"mode": "a", "name": "x", "count": 1, "url": "https://x.test/y", "wait": "1s"}`: nil,
		`{"mode": "A", "name": "x", "count": 1}`:                                          {"mode: must be one of a, b, not \"A\""},
		`{"count": 1}`:                                                                    {"name: is missing"},
		`{"name": "x", "count": "many"}`:                                                  {"count: must be a whole number, without quotes"}, // and not that it is missing
		`{"name": "x", "count": 1, "url": "x.test"}`:                                      {"url: must be an http or https URL, such as https://a.test"},
		`{"name": "x", "count": 1, "url": "ftp://x"}`:                                     {"url: must be an http or https URL, such as https://a.test"},
		`{"name": "x", "count": 1, "url": "http:/x"}`:                                     {"url: must be an http or https URL, such as https://a.test"},
		`{"name": "x", "count": 1, "wait": "3s"}`:                                         {"wait: must be between 1s and 2s"},
		`{"name": "loud", "count": 1}`:                                                    {"~name: is loud"},
	} {
		section, err := config.SectionFromJSON("c", []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		var e example
		check := settings.Decode(section, &e)
		check.OneOf("mode", e.Mode, "a", "b")
		check.Required("name", e.Name == "", "is missing")
		check.Required("count", e.Count == 0, "is missing")
		check.URL("url", e.URL, "https://a.test")
		check.Between("wait", e.Wait, time.Second, 2*time.Second)
		if e.Name == "loud" {
			check.Warn("name", "is %s", e.Name)
		}
		var got []string
		for _, p := range check.Problems() {
			line := p.Key + ": " + p.Message
			if p.Warning {
				line = "~" + line
			}
			got = append(got, line)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", document, got, want)
		}
	}
}

// Upper and lower case don't matter in names, and look-alikes do.
func TestNames(t *testing.T) {
	org := settings.Org{Name: "acme", Teams: []string{"Kube-ops", "öl"}}
	for team, want := range map[string]bool{
		"kube-OPS": true, "Kube-ops": true, "\u212Aube-ops": false, "kube-op\u017F": false, "öl": true, "Öl": false, "": false, "ube-ops": false,
	} {
		if org.Takes(team) != want {
			t.Errorf("%q", team)
		}
	}
	orgs := settings.Orgs{{Name: "Acme"}, org}
	if !orgs.Has("ACME") || orgs.Has("acme2") || orgs.Has("") || !orgs[0].Takes("any") {
		t.Error("organizations are confused")
	}
}
