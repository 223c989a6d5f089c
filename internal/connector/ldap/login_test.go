package ldap_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/ldap"
)

// settings decodes the config of a connector.
func settings(t *testing.T, text string) (*ldap.Config, config.Problems) {
	t.Helper()
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
	file := "issuer: http://dex.test\nstorage: {type: memory}\nweb: {http: 127.0.0.1:0}\nconnectors:\n- type: ldap\n  id: a\n  name: A\n  config:\n"
	loaded, problems := config.Source{Name: "dex.yaml", Data: []byte(file + indented + "\n")}.Load()
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	c := &ldap.Config{}
	var list []struct {
		Config config.Section `key:"config" expand:"env"`
	}
	loaded.Connectors.Decode(&list)
	return c, list[0].Config.Decode(c)
}

// source is what the connector can do.
type source interface {
	connector.Password
	connector.Refresher
	connector.Prober
	Close() error
}

// open opens a connector with settings that must be good.
func open(t *testing.T, text string) source {
	t.Helper()
	c, problems := settings(t, text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return opened(t, c, nil)
}

// opened opens a connector that logs to a handler; nil for no log.
func opened(t *testing.T, c *ldap.Config, log slog.Handler) source {
	t.Helper()
	if log == nil {
		log = slog.DiscardHandler
	}
	instance, err := c.Open(t.Context(), connector.Env{ID: "a", Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	s := instance.(source)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const (
	people = "ou=People,dc=example,dc=org"
	units  = "ou=Groups,dc=example,dc=org"
)

// plain has settings for a test server, without the searches.
func plain(s *server) string { return "host: " + s.host() + "\ninsecureNoSSL: true\n" }

func users(s *server) string {
	return plain(s) + "userSearch: {baseDN: '" + people + "', username: uid, nameAttr: cn}\n"
}

func jane() entry {
	return entry{
		dn: "cn=jane," + people, password: "foo",
		attributes: map[string][]string{
			"objectClass": {"person"}, "uid": {"jane"}, "cn": {"Jane Doe"}, "mail": {"jane@example.org", "doe@example.org"},
		},
	}
}

func mustLogin(t *testing.T, s source, scopes connector.Scopes, name, password string) connector.Identity {
	t.Helper()
	id, ok, err := s.Login(t.Context(), scopes, name, password)
	if err != nil || !ok {
		t.Fatalf("login as %q: %t, %v", name, ok, err)
	}
	return id
}

func TestLogin(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	want := connector.Identity{UserID: "jane", Username: "Jane Doe", Email: "jane@example.org", EmailVerified: true}
	got := mustLogin(t, c, connector.Scopes{}, "jane", "foo")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if want := []string{"", jane().dn}; !slices.Equal(s.binds, want) {
		t.Errorf("binds %q, want %q", s.binds, want)
	}
	for _, wrong := range [][2]string{{"jane", "bar"}, {"nobody", "foo"}, {"*", "foo"}, {"jane)(uid=*", "foo"}} {
		if id, ok, err := c.Login(t.Context(), connector.Scopes{}, wrong[0], wrong[1]); ok || err != nil || id.UserID != "" {
			t.Errorf("login as %q: %+v, %t, %v", wrong, id, ok, err)
		}
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
}

func TestServerIsNotAskedInVain(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	for name, login := range map[string][2]string{
		"no password": {"jane", ""}, "no name": {"", "foo"}, "no text": {"jane\xff", "foo"}, "long": {strings.Repeat("a", 2000), "foo"},
	} {
		if _, ok, err := c.Login(t.Context(), connector.Scopes{}, login[0], login[1]); ok || err != nil {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
	}
	if s.conns != 0 {
		t.Errorf("%d connections, want none", s.conns)
	}
}

func TestUserFilter(t *testing.T) {
	for _, test := range []struct{ name, search, typed, want string }{
		{"one attribute", "username: uid", "jane", "(uid=jane)"},
		{"list of one", "username: [uid]", "jane", "(uid=jane)"},
		{"list", "username: [uid, mail]", "jane", "(|(uid=jane)(mail=jane))"},
		{"filter", "username: [uid, mail], filter: (objectClass=person)", "a*b", `(&(objectClass=person)(|(uid=a\2ab)(mail=a\2ab)))`},
		{"two filters", "username: uid, filter: ' (a=b)(c=d)'", "x", "(&(a=b)(c=d)(uid=x))"},
		{"special characters", "username: uid", "josé(x)\\\x00", `(uid=jos\c3\a9\28x\29\5c\00)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil)
			c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', "+test.search+"}")
			if _, ok, err := c.Login(t.Context(), connector.Scopes{}, test.typed, "p"); ok || err != nil {
				t.Errorf("login: %t, %v", ok, err)
			}
			if got := s.asked(people); !slices.Equal(got, []string{test.want}) {
				t.Errorf("searched %q, want %q", got, test.want)
			}
		})
	}
}

func TestNamesOfAllKinds(t *testing.T) {
	for _, name := range []string{"josé", "Jürgen (x)", "a*b", `back\slash`, "comma, name", "(", ")(uid=*)", "名前", "O'Neil", "a+b=c"} {
		u := jane()
		u.dn = "cn=" + goldap.EscapeDN(name) + "," + people
		u.attributes["uid"] = []string{name}
		s := serve(t, nil, u, entry{
			dn: "cn=staff," + units, attributes: map[string][]string{"cn": {"staff"}, "member": {u.dn}},
		})
		c := open(t, users(s)+"groupSearch: {baseDN: '"+units+"', nameAttr: cn, userMatchers: [{userAttr: DN, groupAttr: member}]}")
		scopes := connector.Scopes{OfflineAccess: true, Groups: true}
		id := mustLogin(t, c, scopes, name, "foo")
		if id.UserID != name || !slices.Equal(id.Groups, []string{"staff"}) {
			t.Errorf("%q: got %+v", name, id)
		}
		fresh, err := c.Refresh(t.Context(), scopes, id)
		if diff := cmp.Diff(id, fresh); err != nil || diff != "" {
			t.Errorf("%q: refresh: %v (-login +refresh)\n%s", name, err, diff)
		}
	}
}

func TestIdentity(t *testing.T) {
	guid := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	sid := "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\xf4\x01\x00\x00"
	user := jane()
	user.attributes["objectGUID"] = []string{guid}
	user.attributes["objectSid"] = []string{sid}
	user.attributes["photo"] = []string{"\xff\xd8"}
	user.attributes["empty"] = []string{""}
	for name, test := range map[string]struct {
		search, typed string
		want          connector.Identity
		fault         string
	}{
		"defaults":          {search: "username: uid", want: connector.Identity{UserID: "jane", Email: "jane@example.org", EmailVerified: true}},
		"names in any case": {search: "username: UID, idAttr: UID, emailAttr: MAIL, nameAttr: CN", want: connector.Identity{UserID: "jane", Username: "Jane Doe", Email: "jane@example.org", EmailVerified: true}},
		"DN":                {search: "username: uid, idAttr: DN, preferredUsernameAttr: dn", want: connector.Identity{UserID: user.dn, PreferredUsername: user.dn, Email: "jane@example.org", EmailVerified: true}},
		"suffix":            {search: "username: mail, nameAttr: uid, emailSuffix: x.test", typed: "doe@example.org", want: connector.Identity{UserID: "jane", Username: "jane", Email: "jane@x.test", EmailVerified: true}},
		"suffix, no name":   {search: "username: [cn, uid], emailSuffix: x.test", typed: "JANE", want: connector.Identity{UserID: "jane", Email: "jane@x.test", EmailVerified: true}},
		"objectGUID":        {search: "username: uid, idAttr: objectGUID", want: connector.Identity{UserID: "00112233-4455-6677-8899-aabbccddeeff", Email: "jane@example.org", EmailVerified: true}},
		"objectSid":         {search: "username: uid, idAttr: objectsid", want: connector.Identity{UserID: "S-1-5-21-1-2-3-500", Email: "jane@example.org", EmailVerified: true}},
		"missing": {
			search: "username: uid, idAttr: absent, nameAttr: empty, emailAttr: photo, preferredUsernameAttr: gone",
			fault:  `user's entry: the attribute "absent" is missing, the attribute "empty" is missing, the attribute "gone" is missing, the attribute "photo" is not text`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, user)
			c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', "+test.search+"}")
			typed := test.typed
			if typed == "" {
				typed = "jane"
			}
			got, ok, err := c.Login(t.Context(), connector.Scopes{}, typed, "foo")
			if test.fault != "" {
				if ok || err == nil || !strings.HasSuffix(err.Error(), ": "+test.fault) {
					t.Errorf("got %t, %v; want %s", ok, err, test.fault)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestEmailNotVerified(t *testing.T) {
	s := serve(t, nil, jane())
	if id := mustLogin(t, open(t, users(s)+"emailVerified: false"), connector.Scopes{}, "jane", "foo"); id.EmailVerified {
		t.Error("the address is verified")
	}
}

func TestAttributesAskedFor(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', username: [uid, mail], idAttr: DN, emailAttr: Mail, nameAttr: cn}\n"+
		"groupSearch: {baseDN: '"+units+"', nameAttr: dn, userMatchers: [{userAttr: DN, groupAttr: member}, {userAttr: gidNumber, groupAttr: gidNumber}]}")
	mustLogin(t, c, connector.Scopes{Groups: true}, "jane", "foo")
	state := []string{"userAccountControl", "accountExpires", "pwdAccountLockedTime", "nsAccountLock"}
	if want := append([]string{"cn", "Mail", "uid", "gidNumber"}, state...); !slices.Equal(s.searches[0].attributes, want) {
		t.Errorf("of users: %q, want %q", s.searches[0].attributes, want)
	}
	if want := []string{"1.1"}; !slices.Equal(s.searches[1].attributes, want) {
		t.Errorf("of groups: %q, want %q", s.searches[1].attributes, want)
	}
}

func TestSeveralUsersOfOneName(t *testing.T) {
	for name, dns := range map[string][]string{"two": {"cn=a,", "cn=b,"}, "more than are asked for": {"cn=a,", "cn=b,", "cn=c,"}} {
		var all []entry
		for _, dn := range dns {
			u := jane()
			u.dn = dn + people
			all = append(all, u)
		}
		s := serve(t, nil, all...)
		_, ok, err := open(t, users(s)).Login(t.Context(), connector.Scopes{}, "jane", "foo")
		if ok || err == nil || !strings.Contains(err.Error(), "several entries") {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
		if slices.Contains(s.binds, dns[0]+people) {
			t.Errorf("%s: a password was tried", name)
		}
	}
}

func TestScopeOne(t *testing.T) {
	u := jane()
	u.dn = "cn=jane,ou=Sub," + people
	s := serve(t, nil, u)
	search := plain(s) + "userSearch: {baseDN: '" + people + "', username: uid, scope: "
	mustLogin(t, open(t, search+"sub}"), connector.Scopes{}, "jane", "foo")
	if _, ok, err := open(t, search+"one}").Login(t.Context(), connector.Scopes{}, "jane", "foo"); ok || err != nil {
		t.Errorf("one level: %t, %v", ok, err)
	}
}

func TestRefusals(t *testing.T) {
	for code, word := range map[string]string{
		"775": "locked", "533": "disabled", "701": "Your account has expired", "532": "password has expired",
		"773": "must change", "530": "at this time",
	} {
		u := jane()
		u.refusal = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data " + code + ", v4563"
		s := serve(t, nil, u)
		_, ok, err := open(t, users(s)).Login(t.Context(), connector.Scopes{}, "jane", "foo")
		denied, isDenied := errors.AsType[*connector.Denied](err)
		if ok || !isDenied || !strings.Contains(denied.Reason, word) || strings.Contains(denied.Reason, "DSID") {
			t.Errorf("%s: %t, %v", code, ok, err)
		}
	}
	for _, code := range []string{"525", "52e"} {
		u := jane()
		u.refusal = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data " + code + ", v4563"
		s := serve(t, nil, u)
		if _, ok, err := open(t, users(s)).Login(t.Context(), connector.Scopes{}, "jane", "foo"); ok || err != nil {
			t.Errorf("%s: %t, %v", code, ok, err)
		}
	}
}

func TestServiceAccount(t *testing.T) {
	admin := entry{dn: "cn=admin,dc=example,dc=org", password: "secret"}
	s := serve(t, nil, admin, jane())
	mustLogin(t, open(t, users(s)+"bindDN: "+admin.dn+"\nbindPW: secret"), connector.Scopes{}, "jane", "foo")
	if want := []string{admin.dn, jane().dn}; !slices.Equal(s.binds, want) {
		t.Errorf("binds %q, want %q", s.binds, want)
	}
	wrong := open(t, users(s)+"bindDN: "+admin.dn+"\nbindPW: wrong")
	if _, ok, err := wrong.Login(t.Context(), connector.Scopes{}, "jane", "foo"); ok || err == nil {
		t.Errorf("login with a service account that is refused: %t, %v", ok, err)
	}
	if err := wrong.Probe(t.Context()); err == nil {
		t.Error("probe: no error")
	}
}

func TestSearchFails(t *testing.T) {
	s := serve(t, nil, jane())
	s.fault = func(string, string) uint16 { return goldap.LDAPResultOperationsError }
	_, ok, err := open(t, users(s)).Login(t.Context(), connector.Scopes{}, "jane", "foo")
	if ok || !goldap.IsErrorWithCode(err, goldap.LDAPResultOperationsError) {
		t.Errorf("got %t, %v", ok, err)
	}
}

func TestServerIsDown(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	_ = s.listener.Close()
	if _, ok, err := c.Login(t.Context(), connector.Scopes{}, "jane", "foo"); ok || err == nil {
		t.Errorf("login: %t, %v", ok, err)
	}
	if err := c.Probe(t.Context()); err == nil {
		t.Error("probe: no error")
	}
	up := serve(t, nil, jane())
	both := open(t, "hosts: ["+s.host()+", "+up.host()+"]\ninsecureNoSSL: true\nuserSearch: {baseDN: '"+people+"', username: uid}")
	mustLogin(t, both, connector.Scopes{}, "jane", "foo")
}

func TestLeavingEndsTheLogin(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, ok, err := c.Login(ctx, connector.Scopes{}, "jane", "foo"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("got %t, %v", ok, err)
	}
}

func TestPrompt(t *testing.T) {
	s := serve(t, nil)
	if got := open(t, users(s)+"usernamePrompt: Email Address").Prompt(); got != "Email Address" {
		t.Errorf("got %q", got)
	}
	if got := open(t, users(s)).Prompt(); got != "" {
		t.Errorf("by default: got %q", got)
	}
}

func TestLogKeepsNamesToDebug(t *testing.T) {
	s := serve(t, nil, jane())
	c, _ := settings(t, users(s))
	var log strings.Builder
	d := opened(t, c, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	mustLogin(t, d, connector.Scopes{}, "jane", "foo")
	_, _, _ = d.Login(t.Context(), connector.Scopes{}, "nobody", "foo")
	_, _, _ = d.Login(t.Context(), connector.Scopes{}, "jane", "hunter2")
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", log.String())
	}
}
