package resource

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// bcryptHash is one of "password".
const bcryptHash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

// testSecrets are the Secrets of each namespace that readings may see: name, key, value.
var testSecrets = map[string]map[string]string{
	"dex/app":   {"secret": "of the application", "old": "the one before", "line": "with a line end\n", "empty": " "},
	"dex/jane":  {"hash": bcryptHash + "\n", "bad": "no hash"},
	"dex/ldap":  {"password": "bind password\n"},
	"team/app":  {"secret": "of the team"},
	"other/app": {"secret": "of others"},
}

func testReader(t *testing.T) *reader {
	t.Helper()
	issuer, err := url.Parse("https://dex.example.com/dex")
	if err != nil {
		t.Fatal(err)
	}
	return &reader{issuer: issuer, passwordDB: true, secret: func(namespace string, ref secretRef) ([]byte, error) {
		values, ok := testSecrets[namespace+"/"+ref.Name]
		if !ok {
			return nil, fmt.Errorf("the Secret %q %w", ref.Name, errNoSecret)
		}
		value, ok := values[ref.Key]
		if !ok {
			return nil, fmt.Errorf("the Secret %q has no key %q", ref.Name, ref.Key)
		}
		return []byte(value), nil
	}}
}

// newObject returns an object with a spec in YAML; path is its namespace and name. The namespace dex is Dex's own.
func newObject(t *testing.T, k *kind, path, spec string) *object {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(spec), &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	namespace, name, _ := strings.Cut(path, "/")
	return &object{
		Metadata: metadata{Name: name, Namespace: namespace, UID: path, Generation: 1, CreationTimestamp: time.Unix(1000, 0)},
		Spec:     text, kind: k, home: namespace == "dex",
	}
}

// wantVerdict fails unless the verdict has the reason and says each of the texts.
func wantVerdict(t *testing.T, v verdict, reason string, says ...string) {
	t.Helper()
	if v.reason != reason {
		t.Errorf("%s: got %s: %s; want %s", v.object.path(), v.reason, v.message, reason)
	}
	for _, text := range says {
		if !strings.Contains(v.message, text) {
			t.Errorf("%s: no %q in %q", v.object.path(), text, v.message)
		}
	}
	if inUse := v.client != nil || v.user != nil || v.definition != nil; inUse != (reason == reasonAccepted) {
		t.Errorf("%s: %s, and in use: %v", v.object.path(), v.reason, inUse)
	}
}

const goodSecret = "secretRef: {name: app, key: secret}\n"

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   *kind
		spec   string
		reason string
		says   []string
	}{
		{clients, goodSecret + "redirectURIs: [https://a.test/cb]", reasonAccepted, []string{"in use"}},
		{clients, "public: true", reasonAccepted, nil},
		{clients, goodSecret, reasonAccepted, []string{"in use; spec.redirectURIs: is empty"}},
		{clients, "{}", reasonInvalid, []string{"spec.secretRef: is required, or public: true"}},
		{clients, "secret: inside", reasonInvalid, []string{"spec.secret: must not stand in the object"}},
		{clients, goodSecret + "redirectURIs: ['javascript:x']", reasonInvalid, []string{"spec.redirectURIs[0]: "}},
		{clients, goodSecret + "grantTypes: [magic]", reasonInvalid, []string{`spec.grantTypes[0]: "magic"`}},
		{clients, goodSecret + "redirectURIs: 5", reasonInvalid, []string{"spec.redirectURIs"}},
		{clients, goodSecret + "id: " + strings.Repeat("x", 513), reasonInvalid, []string{"spec.id: is longer"}},
		{clients, "secretRef: {name: none, key: secret}", reasonSecret, []string{`spec.secretRef: the Secret "none" is not there`}},
		{clients, "secretRef: {name: app, key: none}", reasonSecret, []string{`the Secret "app" has no key "none"`}},
		{clients, "secretRef: {name: app, key: line}", reasonSecret, []string{"has a line end"}},
		{clients, goodSecret + "previousSecretRef: {name: app, key: none}", reasonSecret, []string{"spec.previousSecretRef: "}},
		{users, "{email: Jane@Example.com, userID: '1', secretRef: {name: jane, key: hash}}", reasonAccepted, nil},
		{users, "{email: jane@example.com, secretRef: {name: jane, key: hash}}", reasonInvalid, []string{"spec.userID: is required"}},
		{users, "{email: jane@example.com, userID: '1', secretRef: {name: jane, key: bad}}", reasonInvalid, []string{"spec.hash: "}},
		{users, "{email: jane@example.com, userID: '1', hash: x}", reasonInvalid, []string{"spec.hash: must not stand in the object"}},
		{users, "{userID: '1', secretRef: {name: jane, key: hash}}", reasonInvalid, []string{"spec.email: is required"}},
		{connectors, "type: mockCallback", reasonAccepted, nil},
		{connectors, "{type: mockCallback, id: local}", reasonInvalid, []string{"password database"}},
		{connectors, "type: ldpa", reasonInvalid, []string{`spec.type: "ldpa" is not allowed; did you mean "ldap"?`}},
		{connectors, "{type: oidc, config: {clientID: u}}", reasonInvalid, []string{"spec.config.issuer: "}},
		{connectors, "{type: github, config: {clientID: c, clientSecret: s, redirectURI: 'https://old.example.com/callback'}}", reasonAccepted, []string{
			"in use; spec.config.redirectURI: is https://old.example.com/callback, and must be https://dex.example.com/dex/callback/thing, or "}},
		{connectors, "{type: mockPassword, config: {username: u, password: {secretRef: {name: ldap, key: password}}}}", reasonAccepted, nil},
		{connectors, "{type: mockPassword, config: {username: u, password: {secretRef: {name: no, key: password}}}}", reasonSecret,
			[]string{`spec.config.password: the Secret "no" is not there`}},
		{connectors, "{type: mockPassword, config: {password: x, username: {secretRef: {name: ldap, key: password}}}}", reasonInvalid,
			[]string{"spec.config.username: can't come from a Secret"}},
	} {
		v := testReader(t).read(newObject(t, c.kind, "dex/thing", c.spec))
		wantVerdict(t, v, c.reason, c.says...)
		for _, secret := range []string{"of the application", "bind password", "no hash"} {
			if strings.Contains(v.message, secret) {
				t.Errorf("%s: the message has a secret: %s", c.spec, v.message)
			}
		}
	}
}

func TestWhatObjectsStandFor(t *testing.T) {
	t.Parallel()
	r := testReader(t)
	c := r.read(newObject(t, clients, "dex/app", goodSecret+
		"name: App\npreviousSecretRef: {name: app, key: old}\nmfaChain: []\nclientCredentialsClaims: {groups: [robots]}")).client
	if c == nil || c.ID != "app" || c.Secret != "of the application" || c.PreviousSecret != "the one before" || c.Name != "App" ||
		c.MFAChain == nil || !slices.Equal(c.OwnGroups(), []string{"robots"}) {
		t.Errorf("client: %+v", c)
	}
	if c := r.read(newObject(t, clients, "dex/app", "public: true\nid: Any ID")).client; c == nil || c.ID != "Any ID" {
		t.Errorf("client with an ID of its own: %+v", c)
	}
	v := r.read(newObject(t, users, "dex/jane", "{email: Jane@Example.com, userID: '1', secretRef: {name: jane, key: hash}}"))
	if v.user == nil || string(v.user.Hash) != bcryptHash || v.key != "jane@example.com" || v.shown != "Jane@Example.com" {
		t.Errorf("user: %+v", v)
	}
	d := r.read(newObject(t, connectors, "dex/here", "{type: mockPassword, config: {username: u, password: {secretRef: {name: ldap, key: password}}}}")).definition
	if d == nil || d.ID != "here" || d.Name != "here" || !strings.Contains(string(d.Settings), `"password":"bind password"`) {
		t.Errorf("connector: %+v, %s", d, d.Settings)
	}
	r.passwordDB = false
	wantVerdict(t, r.read(newObject(t, users, "dex/jane", "{email: a@b, userID: '1', secretRef: {name: jane, key: hash}}")), reasonDisabled,
		"enablePasswordDB: true")
}

// TestTenantsGetNoPower attacks from a namespace that may have clients and isn't Dex's own.
func TestTenantsGetNoPower(t *testing.T) {
	t.Parallel()
	attack := func(spec string, says string) {
		t.Helper()
		wantVerdict(t, testReader(t).read(newObject(t, clients, "team/app", goodSecret+spec)), reasonNotAllowed, says)
	}
	// Another's ID.
	for _, id := range []string{"app", "other.app", "team", "team.ap", "Team.app", "team.app ", "dex"} {
		attack("id: '"+id+"'", `spec.id: must be "team.app"`)
	}
	// What is the operator's to say.
	attack("clientCredentialsClaims: {groups: ['system:masters']}", "spec.clientCredentialsClaims: may be set in Dex's own namespace only")
	attack("mfaChain: []", "spec.mfaChain: ")
	for _, id := range []string{"*", "other.app", "app", "team", "teams.app", "Team.app", ""} {
		attack("ssoSharedWith: [team.cli, '"+id+"']", "spec.ssoSharedWith[1]: ")
	}
	attack("logoURL: theme/logo.png", "spec.logoURL: ")
	attack("logoutWithoutConfirmation: true", "spec.logoutWithoutConfirmation: ")
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"} {
		attack("grantTypes: ['"+grant+"']", "spec.grantTypes[0]: ")
	}
	// Names that pass for others.
	for _, name := range []string{
		"dex/App", "\u202eppA", "App\u200b", " App", "App\u00a0", "App\n(dex)", "a\u2066b", "\ufeffApp", strings.Repeat("x", 65),
	} {
		text, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		attack("name: "+string(text), "spec.name: ")
	}
	// Answers that reach Dex's own pages.
	for _, uri := range []string{
		"https://dex.example.com/dex/callback", "https://dex.example.com/dex", "https://DEX.example.com./dex/callback/x",
		"https://dex.example.com:443/dex/../dex/callback", "https://dex.example.com/a/%2e%2e/%64ex/callback", "http://dex.example.com/dex/device",
		"https://user@dex.example.com/dex/auth", "/device/callback", "/dex/device/callback", "https:dex.example.com/dex/callback",
		"https://ｄex.example.com/dex/callback", `https://dex.example.com/a/..\dex\callback`, `https://dex.example.com/x\..\dex`,
		"https://dex.example.com/dex//../callback", "https://dex.example.com/dex/%2f../callback", "https:///dex.example.com/dex/callback",
	} {
		attack("redirectURIs: ['"+uri+"']", "spec.redirectURIs[0]: ")
		attack("postLogoutRedirectURIs: ['"+uri+"']", "spec.postLogoutRedirectURIs[0]: ")
		attack("backchannelLogoutURI: '"+uri+"'", "spec.backchannelLogoutURI: ")
		attack("frontchannelLogoutURI: '"+uri+"'", "spec.frontchannelLogoutURI: ")
	}
	for _, uri := range []string{"javascript://a.test/%0aalert(1)", "https://a.test/%zz", "https://a b.test/"} {
		attack("postLogoutRedirectURIs: ['"+uri+"']", "spec.postLogoutRedirectURIs[0]: ")
	}
}

// TestTenantsClientsWork shows what is left to a namespace that isn't Dex's own.
func TestTenantsClientsWork(t *testing.T) {
	t.Parallel()
	v := testReader(t).read(newObject(t, clients, "team/app", goodSecret+`
id: team.app
name: Grafana „Größe“ 図
redirectURIs: [https://dex.example.com/dexter/cb, "https://dex.example.com:8443/dex/cb", "http://grafana.team.svc/cb", "com.example.app:/cb", "urn:ietf:wg:oauth:2.0:oob"]
trustedPeers: [team.cli]
allowedConnectors: [github]
ssoSharedWith: [team.cli, team.app]
refreshTokenLifetime: session
backchannelLogoutURI: https://grafana.example.com/logout
frontchannelLogoutURI: https://grafana.example.com/signed-out
`))
	wantVerdict(t, v, reasonAccepted)
	c := v.client
	if c.ID != "team.app" || c.Name != "team/Grafana „Größe“ 図" || c.Secret != "of the team" {
		t.Errorf("got %+v", c)
	}
	for grant, want := range map[string]bool{
		"authorization_code": true, "refresh_token": true, "urn:ietf:params:oauth:grant-type:device_code": true,
		"client_credentials": false, "password": false, "implicit": false, "urn:ietf:params:oauth:grant-type:token-exchange": false,
	} {
		if got := c.AllowsGrant(grant); got != want {
			t.Errorf("it may use %s: %v", grant, got)
		}
	}
	// A namespace in a reference to a Secret, which the schema takes away, leads nowhere else.
	v = testReader(t).read(newObject(t, clients, "team/app", "secretRef: {name: app, key: secret, namespace: dex}"))
	if v.client != nil && v.client.Secret != "of the team" {
		t.Errorf("the secret is %q", v.client.Secret)
	}
	if v := testReader(t).read(newObject(t, clients, "team/app", "secretRef: {name: ../../dex/secrets/app, key: secret}")); v.ok() {
		t.Error("a path in place of a name leads to a Secret")
	}
	if v := testReader(t).read(newObject(t, clients, "team/plain", "public: true")); v.client == nil || v.client.Name != "team/plain" {
		t.Errorf("without a name: %+v", v)
	}
}

func TestWhoseAnIDIs(t *testing.T) {
	t.Parallel()
	older := func(o *object, seconds int64) *object {
		o.Metadata.CreationTimestamp = time.Unix(1000-seconds, 0)
		return o
	}
	w := &Watcher{followers: []*follower{{kind: clients, objects: map[string]*object{}}}}
	for i, o := range []*object{
		newObject(t, clients, "dex/b", "{public: true, id: x}"),
		older(newObject(t, clients, "dex/a", "{id: x}"), 5), // has mistakes, and keeps the ID all the same
		older(newObject(t, clients, "team/x", "public: true"), 9),
		newObject(t, clients, "dex/c", "{public: true, id: team.x}"),
		newObject(t, clients, "other/x", "public: true"),
	} {
		w.followers[0].objects[fmt.Sprint(i)] = o
	}
	r := testReader(t)
	var verdicts []verdict
	for _, o := range w.objects() {
		verdicts = append(verdicts, r.read(o))
	}
	settle(verdicts)
	got := map[string]verdict{}
	for _, v := range verdicts {
		got[v.object.Metadata.UID] = v
	}
	wantVerdict(t, got["dex/a"], reasonInvalid)
	wantVerdict(t, got["dex/b"], reasonConflict, `"x" belongs to dexclient dex/a, which is older`)
	wantVerdict(t, got["dex/c"], reasonAccepted)
	wantVerdict(t, got["team/x"], reasonConflict, `"team.x" is the ID of a client in Dex's own namespace`)
	wantVerdict(t, got["other/x"], reasonAccepted)
}
