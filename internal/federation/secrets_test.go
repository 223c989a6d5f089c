package federation

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of all settings of all connectors these are secrets. A new key that sounds like one is a secret until it is listed as harmless.
func TestWhatIsSecret(t *testing.T) {
	found, known := map[string]bool{}, map[string]bool{}
	for _, k := range kinds {
		collectKeys(reflect.TypeOf(k.settings()), found, map[reflect.Type]bool{})
	}
	var secrets []string
	for key := range found {
		known[strings.ToLower(key)] = true
		if isSecret(key) {
			secrets = append(secrets, key)
		}
	}
	slices.Sort(secrets)
	want := []string{"applicationCredentialSecret", "bindPW", "clientKeyData", "clientSecret", "keystonePassword", "password", "secret"}
	if diff := cmp.Diff(want, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	for _, key := range harmless {
		if !known[strings.ToLower(key)] {
			t.Errorf("%s is listed as harmless, and no connector has it", key)
		}
	}
}

// collectKeys adds the keys of settings.
func collectKeys(t reflect.Type, found map[string]bool, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for f := range t.Fields() {
		if key := f.Tag.Get("key"); key != "" && key != "-" {
			found[key] = true
		}
		collectKeys(f.Type, found, seen)
	}
}

func TestSecretsOfSettings(t *testing.T) {
	const settings = `{"ClientSecret":"a","n":12345678901234567890,"in":{"bindPW":"b","host":"h"},"list":[{"password":"c","x":1}],"tokenURL":"u"}`
	shown := string(WithoutSecrets([]byte(settings)))
	if want := `{"in":{"host":"h"},"list":[{"x":1}],"n":12345678901234567890,"tokenURL":"u"}`; shown != want {
		t.Errorf("shows %s, want %s", shown, want)
	}
	kept := string(KeepSecrets([]byte(settings), []byte(`{"in":{"host":"i"},"clientSecret":null}`)))
	if want := `{"clientSecret":null,"in":{"bindPW":"b","host":"i"}}`; kept != want {
		t.Errorf("keeps %s, want %s", kept, want)
	}
	for before, after := range map[string]string{"": "{}", "null": "{}", "[]": "{}", "{}": "nonsense", settings: "[1]"} {
		if got := KeepSecrets([]byte(before), []byte(after)); string(got) != after {
			t.Errorf("from %s and %s it makes %s", before, after, got)
		}
	}
	for _, none := range []string{"", "null", "[]", `"secret"`, "{"} {
		if got := WithoutSecrets([]byte(none)); got != nil {
			t.Errorf("of %s it shows %s", none, got)
		}
	}
}
