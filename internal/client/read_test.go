package client

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/rule"
)

// read returns the clients of a configuration with some settings, and what is wrong with them.
func read(t *testing.T, settings string, env map[string]string) ([]*Client, config.Problems) {
	t.Helper()
	src := config.Source{
		Name: "dex.yaml", Data: []byte("issuer: https://dex.test\nstorage: {type: memory}\nweb: {http: ':80'}\n" + settings),
		Env: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	}
	cfg, problems := src.Load()
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return Read(cfg, func(string) bool { return true })
}

func TestRead(t *testing.T) {
	clients, problems := read(t, `
staticClients:
- {idEnv: ID, secretEnv: SECRET, name: App}
- &a {id: a, name: A, secret: s, mfaChain: [], ssoSharedWith: ~}
- {<<: *a, id: b}
`, map[string]string{"ID": "app", "SECRET": "s3cret"})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	want := []*Client{
		{ID: "app", Secret: "s3cret", Name: "App"},
		{ID: "a", Name: "A", Secret: "s", MFAChain: []string{}},
		{ID: "b", Name: "A", Secret: "s", MFAChain: []string{}},
	}
	if diff := cmp.Diff(want, clients); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// Every member of a client is read from the file, stored, and read again: one that is forgotten anywhere is missed here.
func TestEveryMember(t *testing.T) {
	want := Client{ClientCredentialsClaims: &OwnClaims{Groups: []string{"g"}}, Tokens: &Tokens{
		IDTokenLifetime: "10m", AccessTokenLifetime: "5m", RefreshTokens: &RefreshTokens{ValidIfNotUsedFor: "24h", AbsoluteLifetime: "720h"},
		AccessToken: "opaque", Profile: "strict", IDTokenSignedResponseAlg: "ES256", MaxGroups: 200, MaxSize: 8192,
	}}
	special := map[string]string{"grantTypes": "implicit", "refreshTokenLifetime": "session", "mfaChain": "otp",
		"backchannelLogoutURI": "https://a.test/back", "frontchannelLogoutURI": "https://a.test/front", "postLogoutRedirectURIs": "a:/out", "allowedEmails": "a@b.test"}
	var file strings.Builder
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Client]()) {
		value := reflect.ValueOf(&want).Elem().FieldByIndex(field.Index)
		key := field.Tag.Get("key")
		if field.Anonymous {
			continue
		}
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); key == "" || name != key {
			t.Errorf("%s is %q in the file and %q in the storage", field.Name, key, name)
		}
		word := key
		if other, ok := special[key]; ok {
			word = other
		}
		written := word
		switch v := value.Addr().Interface().(type) {
		case *string:
			*v = word
		case *[]string:
			*v = []string{word}
			written = "[" + word + "]"
		case *bool:
			*v = true
			written = "true"
		case **OwnClaims:
			written = "{groups: [g]}"
		case **Tokens:
			written = "{idTokenLifetime: 10m, accessTokenLifetime: 5m, refreshTokens: {validIfNotUsedFor: 24h, absoluteLifetime: 720h}, " +
				"accessToken: opaque, profile: strict, idTokenSignedResponseAlg: ES256, maxGroups: 200, maxSize: 8192}"
		case **rule.Groups:
			*v = &rule.Groups{Match: []string{"m"}, Rename: map[string]string{"a": "b"}, Case: rule.Lower, Prefix: "p"}
			written = "{match: [m], rename: {a: b}, case: lower, prefix: p}"
		case *[]rule.Refusal:
			*v = []rule.Refusal{{Expression: "true", Message: "'m'"}}
			written = `[{expression: "true", message: "'m'"}]`
		case **rule.TokenPolicy:
			*v = &rule.TokenPolicy{Claims: []rule.Claim{{Key: "'k'", Value: "'v'", Condition: "false"}}, Filter: &rule.Refusal{Expression: "true"}}
			written = `{claims: [{key: "'k'", value: "'v'", condition: "false"}], filter: {expression: "true"}}`
		default:
			t.Fatalf("%s has the type %s: say how it is written", field.Name, field.Type)
		}
		fmt.Fprintf(&file, "  %s: %s\n", key, written)
	}
	clients, problems := read(t, "mfa: {authenticators: [{id: otp, type: TOTP, config: {}}]}\nstaticClients:\n- # all\n"+file.String(),
		map[string]string{"DEX_SESSIONS_ENABLED": "true"})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*Client{&want}, clients); diff != "" {
		t.Errorf("from the file (-want +got):\n%s", diff)
	}

	document, err := json.Marshal(clients[0])
	if err != nil {
		t.Fatal(err)
	}
	var stored, imported Client
	if err := json.Unmarshal(document, &stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("from the storage (-want +got):\n%s", diff)
	}
	section, err := config.SectionFromJSON("client", document)
	if err != nil {
		t.Fatal(err)
	}
	unknown := slices.DeleteFunc(section.Decode(&imported), func(p config.Problem) bool { return strings.Contains(p.Message, "accepted") })
	if diff := cmp.Diff(want, imported); diff != "" || len(unknown) > 0 {
		t.Errorf("from JSON (-want +got):\n%s\n%v", diff, unknown)
	}
}

// Members as upstream's objects have them.
func TestStoredForm(t *testing.T) {
	for want, c := range map[string]Client{
		`{"public":false,"ssoSharedWith":null}`: {MFAChain: []string{}},
		`{"id":"a","secret":"s","previousSecret":"p","name":"A","redirectURIs":["u"],"public":true,"ssoSharedWith":[],"clientCredentialsClaims":{"groups":null}}`: {
			ID: "a", Secret: "s", PreviousSecret: "p", Public: true, Name: "A", RedirectURIs: []string{"u"}, SSOSharedWith: []string{},
			ClientCredentialsClaims: &OwnClaims{},
		},
	} {
		if got, err := json.Marshal(c); err != nil || string(got) != want {
			t.Errorf("got %s, want %s, error %v", got, want, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		client Client
		want   string
	}{
		{Client{ID: "a", Secret: "s"}, ""},
		{Client{ID: "a", Public: true}, ""},
		{Client{}, "id: is required: the client ID\nsecret: is required, or public: true"},
		{Client{ID: "a", Public: true, PreviousSecret: "p"}, "previousSecret: needs a secret beside it, which takes its place"},
		{Client{ID: "a", Secret: "s", RedirectURIs: []string{"https://a.test/", "javascript:alert(1)"}},
			"redirectURIs[1]: leads to no application, as its scheme is javascript"},
		{Client{ID: "a", Secret: "s", RefreshTokenLifetime: "forever"},
			`refreshTokenLifetime: "forever" is not allowed; it must be one of "standalone", "session"`},
		{Client{ID: "a", Secret: "s", BackchannelLogoutURI: "http://app.test:8080/out?x=1", FrontchannelLogoutURI: "https://[::1]/out"}, ""},
		{Client{ID: "a", Secret: "s", BackchannelLogoutURI: "app.test/out", FrontchannelLogoutURI: "https://a;script-src/"},
			"backchannelLogoutURI: is not an absolute URI\n" +
				"frontchannelLogoutURI: must be a URL with the scheme https or http and a host, such as https://app.example.net/logout"},
		{Client{ID: "a", Secret: "s", BackchannelLogoutURI: "ftp://a.test/", FrontchannelLogoutURI: "https://u:p@a.test/"},
			"backchannelLogoutURI: must be a URL with the scheme https or http and a host, such as https://app.example.net/logout\n" +
				"frontchannelLogoutURI: must not have a user name or a password"},
		{Client{ID: "a", Secret: "s", BackchannelLogoutURI: "https:///out", FrontchannelLogoutURI: "https://a.test/#"},
			"backchannelLogoutURI: must be a URL with the scheme https or http and a host, such as https://app.example.net/logout\n" +
				"frontchannelLogoutURI: must not have a fragment (the part from # on)"},
		{Client{ID: "a", Secret: "s", PostLogoutRedirectURIs: []string{"com.example.app:/out", "javascript:alert(1)"}},
			"postLogoutRedirectURIs[1]: leads to no application, as its scheme is javascript"},
	} {
		got := ""
		if err := test.client.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", test.client, got, test.want)
		}
	}
}

func TestSharesWith(t *testing.T) {
	for _, c := range []struct {
		list      []string
		byDefault bool
		id        string
		want      bool
	}{
		{nil, false, "b", false}, {nil, true, "b", true}, {[]string{}, true, "b", false}, {[]string{"b"}, false, "b", true},
		{[]string{"b"}, true, "c", false}, {[]string{"*"}, false, "c", true},
	} {
		if got := (&Client{ID: "a", SSOSharedWith: c.list}).SharesWith(c.id, c.byDefault); got != c.want {
			t.Errorf("%v, by default %t, with %s: got %t", c.list, c.byDefault, c.id, got)
		}
	}
}

func TestAllowsPostLogoutRedirect(t *testing.T) {
	c := &Client{RedirectURIs: []string{"https://a.test/cb"}, PostLogoutRedirectURIs: []string{"https://a.test/out", "javascript:alert(1)"}}
	for uri, want := range map[string]bool{
		"https://a.test/out": true, "https://a.test/out/": false, "https://a.test/out?x": false, "https://A.test/out": false,
		"https://a.test/cb": false, "javascript:alert(1)": false, "": false,
	} {
		if got := c.AllowsPostLogoutRedirect(uri); got != want {
			t.Errorf("%q: got %t", uri, got)
		}
	}
}
