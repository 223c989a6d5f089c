package openshift_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/connector/openshift"
)

type object = connectortest.Object

const (
	userPath  = "/apis/user.openshift.io/v1/users/~"
	discovery = "/.well-known/oauth-authorization-server"
)

var all = connector.Scopes{Groups: true, OfflineAccess: true}

func settings(o *connectortest.OpenShift, more object) object {
	settings := object{"clientID": "dex", "clientSecret": "secret", "issuer": o.URL + "/", "rootCA": o.CA()}
	maps.Copy(settings, more)
	return settings
}

func start(t *testing.T, more object) (*connectortest.OpenShift, connectortest.Connector) {
	t.Helper()
	o := connectortest.NewOpenShift(t)
	return o, connectortest.Open(t, &openshift.Config{}, settings(o, more), nil)
}

func TestSuite(t *testing.T) {
	connectortest.Suite{
		New: func(t testing.TB) (*connectortest.Hosted, func() connector.Config, object) {
			o := connectortest.NewOpenShift(t)
			return o.Hosted, func() connector.Config { return &openshift.Config{} }, settings(o, nil)
		},
		UserPath: userPath,
	}.Run(t)
}

func TestIdentity(t *testing.T) {
	ada := connector.Identity{UserID: "1", Username: "ada", PreferredUsername: "ada"}
	with := func(change func(*connector.Identity)) connector.Identity {
		id := ada
		change(&id)
		return id
	}
	for name, c := range map[string]struct {
		settings object
		answer   string
		want     connector.Identity // of nobody for a refusal
	}{
		"usual": {nil, `{"metadata": {"name": "ada", "uid": "1"}, "fullName": "Ada L", "identities": ["x:ada"]}`, ada},
		"null":  {nil, `{"metadata": {"name": "ada", "uid": "1"}, "fullName": null, "identities": null, "groups": null}`, ada},
		"groups": {
			nil, `{"metadata": {"name": "ada", "uid": "1"}, "groups": ["b", "system:authenticated", "a", "b", ""]}`,
			with(func(id *connector.Identity) { id.Groups = []string{"b", "system:authenticated", "a"} }),
		},
		"groups of its own": {
			object{"hideSystemGroups": true}, `{"metadata": {"name": "ada", "uid": "1"}, "groups": ["b", "system:authenticated", "my:system:x"]}`,
			with(func(id *connector.Identity) { id.Groups = []string{"b", "my:system:x"} }),
		},
		"a full name": {
			object{"useFullName": true}, `{"metadata": {"name": "ada", "uid": "1"}, "fullName": "Ada L"}`,
			with(func(id *connector.Identity) { id.Username = "Ada L" }),
		},
		"no full name": {object{"useFullName": true}, `{"metadata": {"name": "ada", "uid": "1"}, "fullName": ""}`, ada},
		"a name that is an address": {
			nil, `{"metadata": {"name": "ada@corp.test", "uid": "1"}}`,
			connector.Identity{UserID: "1", Username: "ada@corp.test", PreferredUsername: "ada@corp.test", Email: "ada@corp.test"},
		},
		"any name as an address": {
			object{"userNameAsEmail": true}, `{"metadata": {"name": "ada", "uid": "1"}}`,
			with(func(id *connector.Identity) { id.Email = "ada" }),
		},
		"kube:admin": {nil, `{"metadata": {"name": "kube:admin"}, "identities": null, "groups": ["system:cluster-admins"]}`, connector.Identity{}},
		"kube:admin, let in": {
			object{"allowKubeAdmin": true}, `{"metadata": {"name": "kube:admin", "uid": null}, "groups": ["system:cluster-admins"]}`,
			connector.Identity{UserID: "kube:admin", Username: "kube:admin", PreferredUsername: "kube:admin", Groups: []string{"system:cluster-admins"}},
		},
		"kube:admin by a uid":   {nil, `{"metadata": {"name": "kube:admin", "uid": "1"}}`, connector.Identity{UserID: "1", Username: "kube:admin", PreferredUsername: "kube:admin"}},
		"another without a uid": {object{"allowKubeAdmin": true}, `{"metadata": {"name": "ada"}}`, connector.Identity{}},
		"nobody":                {object{"allowKubeAdmin": true}, `{"metadata": null}`, connector.Identity{}},
	} {
		o, conn := start(t, c.settings)
		o.Answer(userPath, connectortest.Always(200, c.answer))
		id, err := o.SignIn(t, conn, connector.Scopes{Groups: true})
		outcome := connector.Succeeded
		if c.want.UserID == "" {
			outcome = connector.AccountUnusable
		}
		if !cmp.Equal(c.want, id) || connector.OutcomeOf(err) != outcome {
			t.Errorf("%s: %s %v", name, cmp.Diff(c.want, id), err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for name, want := range map[string]bool{
		"ada@corp.test": true, "a.b+c@sub.corp.test": true,
		"ada": false, "@corp.test": false, "ada@": false, "ada@corp": false, "ada@corp.": false, "ada@.corp": false, "a@b@c.test": false,
		"ada l@corp.test": false, "kube:admin": false, "ada@corp.test/x": false,
	} {
		o, c := start(t, nil)
		o.Users[name], o.User = connectortest.OpenShiftUser{UID: "1"}, name
		id, err := o.SignIn(t, c, connector.Scopes{})
		if err != nil || (id.Email == name) != want || id.EmailVerified {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestGroups(t *testing.T) {
	for name, c := range map[string]struct {
		allowed, in []string
		lets        bool
	}{
		"one":              {[]string{"ops", "admins"}, []string{"users", "ops"}, true},
		"none":             {[]string{"ops"}, []string{"users"}, false},
		"no groups":        {[]string{"ops"}, nil, false},
		"another spelling": {[]string{"Ops"}, []string{"ops"}, false},
		"a part":           {[]string{"op"}, []string{"ops"}, false},
		"a virtual one":    {[]string{"system:authenticated"}, []string{"system:authenticated"}, true},
	} {
		o, conn := start(t, object{"groups": c.allowed, "hideSystemGroups": true})
		o.Users["ada"] = connectortest.OpenShiftUser{UID: "1", Groups: c.in}
		for _, scopes := range []connector.Scopes{all, {}} { // whatever the application asks for
			id, err := o.SignIn(t, conn, scopes)
			if (err == nil) != c.lets || err != nil && connector.OutcomeOf(err) != connector.Refused {
				t.Errorf("%s: %+v, %v", name, id, err)
			}
			if !scopes.Groups && id.Groups != nil {
				t.Errorf("%s: groups that nobody asked for: %q", name, id.Groups)
			}
		}
	}
	// The claim has the groups that don't let in, too.
	o, c := start(t, object{"groups": []string{"ops"}})
	if id, err := o.SignIn(t, c, all); err != nil || !slices.Equal(id.Groups, o.Users["ada"].Groups) {
		t.Errorf("%q, %v", id.Groups, err)
	}
}

func TestMemberWhoLeaves(t *testing.T) {
	o, c := start(t, object{"groups": []string{"ops"}})
	id, err := o.SignIn(t, c, connector.Scopes{OfflineAccess: true})
	if err != nil {
		t.Fatal(err)
	}
	o.Users["ada"] = connectortest.OpenShiftUser{UID: "e01e-ada", Groups: []string{"users"}}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Refused {
		t.Error(err)
	}
	// Somebody else who gets the name of a user who was deleted is another user.
	o.Users["ada"] = connectortest.OpenShiftUser{UID: "another", Groups: []string{"ops"}}
	if _, err := c.Refresh(t.Context(), connector.Scopes{}, id); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

func TestManyGroups(t *testing.T) {
	o, c := start(t, nil)
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("group-%d", i))
	}
	o.Users["ada"] = connectortest.OpenShiftUser{UID: "1", Groups: many}
	if id, err := o.SignIn(t, c, all); err != nil || !slices.Equal(id.Groups, many) {
		t.Errorf("%d groups, %v", len(id.Groups), err)
	}
}

func TestCalls(t *testing.T) {
	o, c := start(t, nil)
	o.NeedsPKCE = true
	for _, want := range [][]string{{discovery, "/oauth/authorize", "/oauth/token", userPath}, {"/oauth/authorize", "/oauth/token", userPath}} {
		if _, err := o.SignIn(t, c, all); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, call := range o.Calls() {
			path, _, _ := strings.Cut(call.URI, "?")
			asked = append(asked, path)
		}
		if !slices.Equal(asked, want) {
			t.Errorf("%q, want %q", asked, want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   connector.Outcome
	}{
		"forbidden":         {connectortest.Always(403, `{"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}`), connector.Broken},
		"down":              {connectortest.Always(503, ""), connector.Unavailable},
		"a page":            {connectortest.Always(200, "<html>"), connector.Broken},
		"nothing in it":     {connectortest.Always(200, "{}"), connector.Broken},
		"no token endpoint": {connectortest.Always(200, `{"authorization_endpoint": "https://x.test/a"}`), connector.Broken},
		"no login page":     {connectortest.Always(200, `{"token_endpoint": "https://x.test/a"}`), connector.Broken},
		"a path":            {connectortest.Always(200, `{"authorization_endpoint": "/a", "token_endpoint": "https://x.test/a"}`), connector.Broken},
		"null":              {connectortest.Always(200, `{"authorization_endpoint": null, "token_endpoint": null}`), connector.Broken},
	} {
		o, conn := start(t, nil)
		o.Answer(discovery, c.answer)
		to, err := conn.Begin(t.Context(), connector.LoginRequest{State: "s"})
		if connector.OutcomeOf(err) != c.want || to.URL != "" {
			t.Errorf("%s: %q, %v", name, to.URL, err)
		}
		probe := conn.(connector.Prober).Probe
		if err := probe(t.Context()); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: the probe says %v", name, err)
		}
		o.Answer(discovery, nil) // it heals by itself
		if err := probe(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := o.SignIn(t, conn, all); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	o, c := start(t, nil)
	o.Life = 5 * time.Second // which counts as over already
	id, err := o.SignIn(t, c, all)
	if err != nil {
		t.Fatal(err)
	}
	o.Calls()
	if _, err := c.Refresh(t.Context(), all, id); connector.OutcomeOf(err) != connector.Gone || len(o.Calls()) > 0 {
		t.Error(err)
	}
}

// What upstream kept of a login is used.
func TestOldData(t *testing.T) {
	const form = `{"access_token": %q, "token_type": "Bearer", "expiry": %q, "expires_in": 86400}`
	o, c := start(t, nil)
	token := o.Token("", "ada", "user:info")
	for name, kept := range map[string]struct {
		expiry time.Time
		want   connector.Outcome
	}{
		"good": {time.Now().Add(time.Hour), connector.Succeeded}, "over": {time.Now().Add(-time.Hour), connector.Gone}, "undated": {time.Time{}, connector.Succeeded},
	} {
		old := connector.Identity{UserID: "e01e-ada", Data: fmt.Appendf(nil, form, token, kept.expiry.Format(time.RFC3339Nano))}
		id, err := c.Refresh(t.Context(), all, old)
		if connector.OutcomeOf(err) != kept.want || err == nil && (id.UserID != old.UserID || len(id.Groups) != 4 || id.Data == nil) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	// Upstream gave everybody without a uid the same, empty id.
	o.Users["kube:admin"] = connectortest.OpenShiftUser{}
	admin := connector.Identity{Data: fmt.Appendf(nil, form, o.Token("", "kube:admin", "user:info"), time.Time{}.Format(time.RFC3339))}
	if _, err := c.Refresh(t.Context(), all, admin); connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Error(err)
	}
	let := connectortest.Open(t, &openshift.Config{}, settings(o, object{"allowKubeAdmin": true}), nil)
	if _, err := let.Refresh(t.Context(), all, admin); connector.OutcomeOf(err) != connector.Gone {
		t.Error(err)
	}
}

// Tokens of service accounts are replaced while Dex runs.
func TestSecretFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(secret string) {
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	const account = "system:serviceaccount:dex:dex"
	o, c := start(t, object{"clientID": account, "clientSecret": "", "clientSecretFile": file})
	o.ClientID = account
	for _, noBasic := range []bool{false, true} {
		for _, secret := range []string{"first", "second"} {
			write(secret + "\n")
			o.ClientSecret, o.NoBasic = secret, noBasic
			if _, err := o.SignIn(t, c, all); err != nil {
				t.Errorf("%s: %v", secret, err)
			}
		}
	}
	write(" \n")
	if _, err := o.SignIn(t, c, all); connector.OutcomeOf(err) != connector.Broken || !strings.Contains(err.Error(), file+" is empty") {
		t.Error(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := o.SignIn(t, c, all); connector.OutcomeOf(err) != connector.Broken {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	o := connectortest.NewOpenShift(t)
	for name, c := range map[string]struct {
		more object
		want connector.Outcome
	}{
		"rootCA": {nil, connector.Succeeded}, "rootCAs": {object{"rootCA": "", "rootCAs": []string{o.CA()}}, connector.Succeeded},
		"insecureCA": {object{"rootCA": "", "insecureCA": true}, connector.Succeeded}, "insecureSkipVerify": {object{"rootCA": "", "insecureSkipVerify": true}, connector.Succeeded},
		"neither": {object{"rootCA": ""}, connector.Broken},
	} {
		if _, err := o.SignIn(t, connectortest.Open(t, &openshift.Config{}, settings(o, c.more), nil), all); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := &openshift.Config{}
	connectortest.Decode(t, cfg, settings(o, object{"rootCA": "/no/such/file", "rootCAs": []string{"nor this"}, "clientSecret": "", "clientSecretFile": "/no/such/secret"}))
	found := cfg.CheckFiles()
	if len(found) != 3 || found["rootCA"] == nil || found["rootCAs[0]"] == nil || found["clientSecretFile"] == nil {
		t.Errorf("%v", found)
	}
	if _, err := cfg.Open(t.Context(), connector.Env{}); err == nil || !strings.HasPrefix(err.Error(), "rootCA: ") {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	for want, c := range map[string]struct {
		more  object
		warns bool
	}{
		"issuer: is missing: the address":           {object{"issuer": ""}, false},
		"issuer: must be an http":                   {object{"issuer": "api.test:6443"}, false},
		"clientSecretFile: has no place beside":     {object{"clientSecretFile": "/x"}, false},
		"insecureCA: lets anybody":                  {object{"InsecureCA": true}, true},
		"insecureSkipVerify: lets anybody":          {object{"insecureSkipVerify": true}, true},
		"allowKubeAdmin: lets in whoever knows":     {object{"allowKubeAdmin": true}, true},
		"clientSecret: is missing: that works only": {object{"clientsecret": ""}, true},
	} {
		settings := object{"ClientID": "x", "clientsecret": "y", "issuer": "https://api.test:6443"}
		maps.Copy(settings, c.more)
		problems := connectortest.Decode(t, &openshift.Config{}, settings)
		if len(problems) != 1 || problems[0].Warning != c.warns || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%v, want %s", problems, want)
		}
	}
	if problems := connectortest.Decode(t, &openshift.Config{}, object{"clientID": "x", "clientSecretFile": "y", "issuer": "https://a.test"}); len(problems) > 0 {
		t.Error(problems)
	}
}

// FuzzAnswers gives the connector any answers.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"metadata": {"name": "ada", "uid": "1"}, "fullName": "Ada", "groups": ["ops"]}`))
	f.Add([]byte(`{"metadata": {"name": "kube:admin"}, "groups": ["ops"]}`))
	f.Add([]byte(`{"metadata": null, "groups": [null]}`))
	o := connectortest.NewOpenShift(f)
	c := connectortest.Open(f, &openshift.Config{}, settings(o, object{"groups": []string{"ops"}}), nil)
	f.Fuzz(func(t *testing.T, user []byte) {
		o.Answer(userPath, connectortest.Always(200, string(user)))
		id, err := o.SignIn(t, c, all)
		if err == nil && (id.UserID == "" || id.EmailVerified || !slices.Contains(id.Groups, "ops")) {
			t.Errorf("%s: %+v", user, id)
		}
		o.Calls() // forgets them
	})
}

// FuzzDiscovery gives the connector any metadata: it sends browsers to web addresses alone.
func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"authorization_endpoint": "https://x.test/a?b=c", "token_endpoint": "https://x.test/t"}`))
	f.Add([]byte(`{"authorization_endpoint": "javascript:alert(1)", "token_endpoint": 1}`))
	o := connectortest.NewOpenShift(f)
	f.Fuzz(func(t *testing.T, metadata []byte) {
		c := connectortest.Open(t, &openshift.Config{}, settings(o, nil), nil)
		o.Answer(discovery, connectortest.Always(200, string(metadata)))
		to, err := c.Begin(t.Context(), connector.LoginRequest{State: "s"})
		if err == nil && !strings.HasPrefix(to.URL, "https://") && !strings.HasPrefix(to.URL, "http://") {
			t.Errorf("%s: %s", metadata, to.URL)
		}
		o.Calls() // forgets them
	})
}
