package locale_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dex/internal/locale"
)

// sample has two languages beside those that are built in.
var sample = fstest.MapFS{
	"dv.json": {Data: []byte(`{"name": "Aa", "direction": "rtl", "months": ["1","2","3","4","5","6","7","8","9","10","11","12m"], "time": "{year}/{month}/{day} {time}",
		"messages": {
			"Log in": "LOGIN", "From {a} to {b}": "to {b} from {a} <&>", "Wait {n} seconds.": {"one": "one!", "other": "{n}!"}, "Hello.": "Hallo."
		}}`)},
	"pl.json": {Data: []byte(`{"name": "Polski", "months": ["1","2","3","4","5","6","7","8","9","10","11","12"], "time": "{day}.{number}.{year}",
		"messages": {"{n} groups": {"one": "{n} grupa", "few": "{n} grupy", "many": "{n} grup", "other": "{n} grupy "}}}`)},
	"notes.txt": {Data: []byte("not a language")},
}

func catalog(t *testing.T, cfg locale.Config) *locale.Catalog {
	t.Helper()
	c, err := locale.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMessages(t *testing.T) {
	l := catalog(t, locale.Config{Messages: sample}).Named("dv")
	for got, want := range map[string]string{
		string(l.HTML("Log in")):                            "LOGIN",
		string(l.HTML("From {a} to {b}", "<x>", "y\u202e")): "to <bdi>y</bdi> from <bdi>&lt;x&gt;</bdi> &lt;&amp;&gt;",
		l.Text("From {a} to {b}", "<x>", "אב"):              "to \u2068אב\u2069 from <x> <&>",
		string(l.HTML("Unknown {a} & <b>", "x{b}")):         "Unknown <bdi>x{b}</bdi> &amp; &lt;b&gt;",
		l.Text("Wait {n} seconds.", 1):                      "one!",
		l.Text("Wait {n} seconds.", 7):                      "7!",
		l.Say("Wait 1 seconds."):                            "one!",
		l.Say("Hello. Wait 12 seconds. Nothing to say."):    "Hallo. 12! Nothing to say.",
		l.Say(""):                 "",
		l.Say("Log in"):           "LOGIN",
		l.Say("Between 1 and 2."): "Between 1 and 2.",
		l.Direction():             "rtl",
		l.Time(time.Date(2026, 12, 3, 4, 5, 6, 0, time.UTC)): "2026/12m/3 04:05",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPluralForms(t *testing.T) {
	l := catalog(t, locale.Config{Messages: sample}).Named("pl")
	for n, want := range map[int]string{1: "1 grupa", 2: "2 grupy", 5: "5 grup", 12: "12 grup", 22: "22 grupy", 0: "0 grup"} {
		if got := l.Text("{n} groups", n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Tools for translators leave what is not translated yet empty; nobody must be shown a button without a text for that.
func TestEmptyTranslations(t *testing.T) {
	own := fstest.MapFS{"de.json": {Data: []byte(`{"messages": {"Password": " ", "Log in": null, "To {a}": "", "Deny": "Nein"}}`)}}
	l, builtin := catalog(t, locale.Config{Messages: own}).Named("de"), catalog(t, locale.Config{}).Named("de")
	for got, want := range map[string]string{
		l.Text("Password"): builtin.Text("Password"), l.Text("Log in"): builtin.Text("Log in"), l.Text("To {a}", "x"): "To x", l.Text("Deny"): "Nein",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	c := catalog(t, locale.Config{Messages: sample, Offered: []string{"en", "pl", "dv"}, Default: "pl"})
	for wishes, want := range map[string]string{
		"": "pl", "|": "pl", "en": "en", "en-GB": "en", "tlh|en": "en", "dv en": "dv", "nonsense!! dv": "dv", "|fr,en;q=0.5,dv;q=0.7": "dv",
		"fr de|": "pl", "en|dv": "en", "EN_us": "en", "pl-PL,en": "pl", "fr|en": "en", strings.Repeat("en ", 500): "pl", "*": "pl",
	} {
		if got := c.Choose(strings.Split(wishes, "|")...); got.Tag != want {
			t.Errorf("%.40s: %s, want %s", wishes, got.Tag, want)
		}
	}
	if c := catalog(t, locale.Config{}); c.Choose().Tag != "en" {
		t.Error("the default is not English")
	}
}

func TestBadLanguages(t *testing.T) {
	const head = `"name": "X", "months": ["","","","","","","","","","","",""], "time": "x"`
	for name, c := range map[string]struct {
		cfg  locale.Config
		says string
	}{
		"unknown":             {locale.Config{Offered: []string{"en", "tlh"}}, `there is no language "tlh"; there are `},
		"an unknown default":  {locale.Config{Default: "tlh"}, `there is no language "tlh"`},
		"no JSON":             {files("de.json", "x"), "de.json: invalid character"},
		"no language":         {files("0.json", "{"+head+"}"), "0.json: "},
		"an unknown key":      {files("cs.json", `{"massages": {}}`), "massages"},
		"no name":             {files("cs.json", "{}"), "has no name"},
		"a direction":         {files("cs.json", "{"+head+`, "direction": "up"}`), "must be ltr or rtl"},
		"months":              {files("cs.json", `{"name": "X", "months": ["a"]}`), "months has 1"},
		"no time":             {files("cs.json", `{"name": "X", "months": ["","","","","","","","","","","",""]}`), "has no time"},
		"a lost placeholder":  {files("en.json", `{"messages": {"a {b}": "a"}}`), "lacks {b}"},
		"another placeholder": {files("en.json", `{"messages": {"a": "a {b}"}}`), "has {b}"},
		"a plural form":       {files("en.json", `{"messages": {"a": {"some": "a", "other": "b"}}}`), "is no plural form"},
		"no other form":       {files("en.json", `{"messages": {"a": {"one": "a"}}}`), "has no text for the plural form other"},
		"a list":              {files("en.json", `{"messages": {"a": []}}`), "must be a text"},
	} {
		_, err := locale.New(c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	_, err := locale.New(locale.Config{Messages: broken{}})
	if !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func files(name, text string) locale.Config {
	return locale.Config{Messages: fstest.MapFS{name: {Data: []byte(text)}}}
}

type broken struct{}

func (broken) Open(string) (fs.File, error) { return nil, fs.ErrPermission }
