package ldap_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// with returns a user with other values of attributes. An attribute without values is removed.
func with(u entry, attributes ...string) entry {
	for i := 0; i < len(attributes); i += 2 {
		delete(u.attributes, attributes[i])
		if attributes[i+1] != "" {
			u.attributes[attributes[i]] = []string{attributes[i+1]}
		}
	}
	return u
}

// A fault of one account, or of the settings, was reported as a temporary failure.
var _ = faulttest.Add("C-14", func(t *testing.T) {
	second := jane()
	second.dn = "cn=second," + people
	search := func(more string) string {
		return "userSearch: {baseDN: '" + people + "', username: uid, nameAttr: cn" + more + "}\n"
	}
	for _, test := range []struct {
		name, settings string
		entries        []entry // at the second login and at the refresh
		fault          uint16  // of all searches then
		want           connector.Outcome
		reason         string
	}{
		{"no mail", search(""), []entry{with(jane(), "mail", "")}, 0, connector.AccountUnusable, "Your account has no email address that can be used here."},
		{"no name", search(""), []entry{with(jane(), "cn", "")}, 0, connector.AccountUnusable, "Your account has no name that can be used here."},
		{"id is not text", search(""), []entry{with(jane(), "uid", "jane", "id", "\xff\xfe")}, 0, connector.Succeeded, ""},
		{"id is not text", search(", idAttr: id"), []entry{with(jane(), "id", "\xff\xfe")}, 0, connector.AccountUnusable, "Your account has no user ID that can be used here."},
		{"two of the name", search(""), []entry{jane(), second}, 0, connector.AccountUnusable, "More than one account has your username."},
		{"a part of the groups", search(", memberOfAttr: memberOf"), []entry{with(jane(), "memberOf;range=0-1499", "cn=a")}, 0, connector.AccountUnusable, "Your account is in too many groups to use here."},
		{"no base", search(""), []entry{jane()}, goldap.LDAPResultNoSuchObject, connector.Broken, ""},
		{"referral", search(""), []entry{jane()}, goldap.LDAPResultReferral, connector.Broken, ""},
		{"not allowed", search(""), []entry{jane()}, goldap.LDAPResultInsufficientAccessRights, connector.Broken, ""},
		{"limit", search(""), []entry{jane()}, goldap.LDAPResultAdminLimitExceeded, connector.Broken, ""},
		{"busy", search(""), []entry{jane()}, goldap.LDAPResultBusy, connector.Unavailable, ""},
		{"other", search(""), []entry{jane()}, goldap.LDAPResultOther, connector.Unavailable, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil, with(jane(), "id", "1", "memberOf", "cn=a"))
			c := open(t, plain(s)+test.settings)
			scopes := connector.Scopes{OfflineAccess: true, Groups: true}
			before := mustLogin(t, c, scopes, "jane", "foo")
			s.change(test.entries...)
			s.note(func() { s.fault = func(string, string) uint16 { return test.fault } })
			_, _, loginErr := c.Login(t.Context(), scopes, "jane", "foo")
			_, refreshErr := c.Refresh(t.Context(), scopes, before)
			for what, err := range map[string]error{"login": loginErr, "refresh": refreshErr} {
				if got := connector.OutcomeOf(err); got != test.want {
					t.Errorf("%s: %s (%v), want %s", what, got, err, test.want)
				}
				unusable, isUnusable := errors.AsType[*connector.Unusable](err)
				if isUnusable && unusable.Reason != test.reason {
					t.Errorf("%s: %q, want %q", what, unusable.Reason, test.reason)
				}
			}
		})
	}
	t.Run("certificate", func(t *testing.T) {
		s := serve(t, nil, jane())
		c := open(t, strings.Replace(users(s), "insecureNoSSL: true\n", "connectTimeout: 500ms\n", 1))
		// A server that doesn't speak TLS may be one that is being replaced.
		if _, _, err := c.Login(t.Context(), connector.Scopes{}, "jane", "foo"); connector.OutcomeOf(err) != connector.Unavailable {
			t.Errorf("no TLS: %v", err)
		}
		pair, _, _ := authority(t)
		s = serve(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, jane())
		c = open(t, strings.Replace(users(s), "insecureNoSSL: true\n", "", 1))
		if _, _, err := c.Login(t.Context(), connector.Scopes{}, "jane", "foo"); connector.OutcomeOf(err) != connector.Broken {
			t.Errorf("unknown authority: %v", err)
		}
	})
})

// What was typed became part of a verified address, in any spelling that the directory considers equal to the name.
func typedNames(t *testing.T) {
	for typed, want := range map[string]string{
		"jane": "jane", " jane": "jane", "jane ": "jane", "JANE": "jane", "𝐣𝐚𝐧𝐞": "jane", "jané": "jane", "jdoe": "jdoe", "JDOE": "jdoe",
	} {
		user := jane()
		user.attributes["uid"] = []string{"jane", "jdoe"}
		s := serve(t, nil, user)
		s.alike = func(a, b string) bool { return a == "jane" || strings.EqualFold(a, b) } // looser than any server
		c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', username: uid, emailSuffix: x.test}")
		if got := mustLogin(t, c, connector.Scopes{}, typed, "foo").Email; got != want+"@x.test" {
			t.Errorf("%q: address %q", typed, got)
		}
	}
	// Active Directory finds users by anr, an attribute that no entry has.
	s := serve(t, nil, jane())
	s.alike = func(string, string) bool { return true }
	anr := jane()
	anr.attributes["anr"] = []string{"jane"}
	s.change(anr)
	c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', username: 'anr', idAttr: cn, emailSuffix: x.test}")
	s.hidden = "anr"
	if id, ok, err := c.Login(t.Context(), connector.Scopes{}, "jane", "foo"); ok || connector.OutcomeOf(err) != connector.AccountUnusable {
		t.Errorf("no attribute has the name: %+v, %v", id, err)
	}
}

var (
	_ = faulttest.Add("C-18", typedNames)
	_ = faulttest.Add("R22", typedNames)
)

// Users of other directories could never log in if an attribute had the name of one of Active Directory's.
var _ = faulttest.Add("C-19", func(t *testing.T) {
	for _, attribute := range []string{"userAccountControl", "accountExpires"} {
		s := serve(t, nil, with(jane(), attribute, "active"))
		mustLogin(t, open(t, users(s)), connector.Scopes{}, "jane", "foo")
	}
})

// Users whose id is binary could not log in, unless it was Active Directory's.
var _ = faulttest.Add("C-20", func(t *testing.T) {
	raw := "\xc8\xc9\xca\xcb\xcc\xcd\xce\xcf\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7"
	const windows, plainly = "cbcac9c8-cdcc-cfce-d0d1-d2d3d4d5d6d7", "c8c9cacb-cccd-cecf-d0d1-d2d3d4d5d6d7"
	for _, test := range []struct{ attribute, value, encoding, want string }{
		{"GUID", raw, "", plainly},
		{"guid", "0123456789abcdef", "", "0123456789abcdef"},
		{"mS-DS-ConsistencyGuid", raw, "", windows},
		{"mS-DS-ConsistencyGuid", "0123456789abcdef", "", "0123456789abcdef"},
		{"objectGUID", raw, "", windows},
		{"other", raw, "", ""},
		{"other", raw, "guid", windows},
		{"other", raw[:3], "guid", "c8c9ca"},
		{"other", raw, "hex", "c8c9cacbcccdcecfd0d1d2d3d4d5d6d7"},
		{"other", raw[:3], "base64", "yMnK"},
		{"other", "text", "hex", "74657874"},
		{"other", "", "hex", ""},
	} {
		s := serve(t, nil, with(jane(), test.attribute, test.value))
		c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', username: uid, idAttr: "+test.attribute+", idEncoding: '"+test.encoding+"'}")
		id, ok, err := c.Login(t.Context(), connector.Scopes{}, "jane", "foo")
		if id.UserID != test.want || ok != (test.want != "") || id.Email != "" && id.Email != "jane@example.org" {
			t.Errorf("%+v: got %+v, %v", test, id, err)
		}
	}
	if _, problems := settings(t, "host: h\nuserSearch: {baseDN: dc=x, username: uid, idEncoding: base32}"); !problems.HasErrors() {
		t.Error("an unknown encoding is accepted")
	}
})

// A name that is in the directory cost a bind, and one that isn't cost none.
var _ = faulttest.Add("R21", func(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	for _, name := range []string{"jane", "nobody"} {
		s.note(func() { s.binds = nil })
		if _, ok, err := c.Login(t.Context(), connector.Scopes{}, name, "wrong"); ok || err != nil {
			t.Errorf("%s: %t, %v", name, ok, err)
		}
		bound := slices.DeleteFunc(s.binds, func(dn string) bool { return dn == "" }) // the searches are anonymous
		if len(bound) != 1 || !strings.HasSuffix(bound[0], ","+people) {
			t.Errorf("%s: binds %q", name, bound)
		}
	}
})

// The limit on one user's passwords goes by the entry, which the source reports before it checks a password.
var _ = faulttest.Add("R8", func(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, plain(s)+"userSearch: {baseDN: '"+people+"', username: [uid, mail], nameAttr: cn}\n").(connector.Finder)
	var users []string
	for _, name := range []string{"jane", "JANE", "doe@example.org"} {
		_, ok, err := c.LoginFound(t.Context(), connector.Scopes{}, name, "foo", func(user string) error {
			users = append(users, user)
			return nil
		})
		if !ok || err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(users) != 3 || users[0] != users[1] || users[0] != users[2] || users[0] == "" {
		t.Errorf("found %q", users)
	}
	s.note(func() { s.binds = nil })
	enough := errors.New("enough")
	if _, ok, err := c.LoginFound(t.Context(), connector.Scopes{}, "jane", "foo", func(string) error { return enough }); ok || !errors.Is(err, enough) {
		t.Errorf("%t, %v", ok, err)
	}
	if len(s.binds) > 0 {
		t.Errorf("the password was checked all the same: %q", s.binds)
	}
})

// A login went on for as long as the browser waited.
var _ = faulttest.Add("C-17", func(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s)+groupSearch(recursive)+"loginTimeout: 200ms\n")
	scopes := connector.Scopes{Groups: true, OfflineAccess: true}
	before := mustLogin(t, c, scopes, "jane", "foo")
	forever := make(chan struct{})
	defer close(forever)
	s.note(func() {
		s.fault = func(base, _ string) uint16 {
			if base == units {
				<-forever
			}
			return 0
		}
	})
	_, ok, err := c.Login(t.Context(), scopes, "jane", "foo")
	if ok || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "loginTimeout") || connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("login: %t, %v", ok, err)
	}
	if _, err := c.Refresh(t.Context(), scopes, before); connector.OutcomeOf(err) != connector.Unavailable {
		t.Errorf("refresh: %v", err)
	}
})

// Nothing said why a user has no groups.
var _ = faulttest.Add("C-40", func(t *testing.T) {
	const byMember = "userMatchers: [{userAttr: DN, groupAttr: member}]"
	nameless := group("nameless", jane().dn)
	delete(nameless.attributes, "cn")
	several := group("several", jane().dn)
	several.attributes["cn"] = []string{"one", "two"}
	for _, test := range []struct {
		name, settings string
		entries        []entry
		unwanted       bool // by the application
		fault          uint16
		want           []string
	}{
		{"searches", groupSearch(byMember), []entry{group("team", jane().dn)}, false, 0, []string{
			`level=DEBUG msg="user search" base="` + people + `" scope="Whole Subtree" filter="(uid=jane)" entries=1 ms=`,
			`level=DEBUG msg="group search" base="` + units + `" scope="Whole Subtree" filter="(member=` + jane().dn + `)" entries=1 ms=`,
		}},
		{"nothing found", groupSearch(byMember), nil, false, 0, []string{"level=INFO msg=\"the user has no groups\"", "no group below " + units + " is found by member", "entries=0"}},
		{"no userAttr", groupSearch("userMatchers: [{userAttr: DistinguishedName, groupAttr: member}]"), nil, false, 0, []string{"the user has no groups", "the user has no DistinguishedName (userAttr)"}},
		{"not asked for", groupSearch(byMember), []entry{group("team", jane().dn)}, true, 0, []string{"did not ask for the scope groups"}},
		{"no name", groupSearch(byMember), []entry{nameless}, false, 0, []string{"the user has no groups", "has no cn (groupSearch.nameAttr)"}},
		{"several names", groupSearch(byMember), []entry{several}, false, 0, []string{"group has several names; the first is used", `nameAttr=cn names="[one two]"`}},
		{"no base", groupSearch(byMember), nil, false, goldap.LDAPResultNoSuchObject, []string{"level=WARN", "groupSearch.baseDN does not exist"}},
		{"no search", "", nil, false, 0, []string{"the user has no groups", "groupSearch has no baseDN or no userMatchers"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, nil, append(test.entries, jane())...)
			s.fault = func(base, _ string) uint16 {
				if base == units {
					return test.fault
				}
				return 0
			}
			c, problems := settings(t, users(s)+test.settings)
			if problems.HasErrors() {
				t.Fatal(problems)
			}
			var log strings.Builder
			source := opened(t, c, slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			mustLogin(t, source, connector.Scopes{Groups: !test.unwanted}, "jane", "foo")
			for _, want := range test.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %s:\n%s", want, log.String())
				}
			}
			if strings.Contains(log.String(), "foo") {
				t.Error("the log has the password")
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		s := serve(t, nil, jane(), group("team", jane().dn))
		_, _, err := open(t, users(s)+groupSearch(byMember)+"allowedGroups: [Team]").Login(t.Context(), connector.Scopes{}, "jane", "foo")
		if err == nil || !strings.Contains(err.Error(), `none of allowedGroups: ["team"]`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("settings", func(t *testing.T) {
		_, problems := settings(t, "host: h\nuserSearch: {baseDN: dc=x, username: uid}\ngroupSearch: {baseDN: dc=x, nameAttr: cn, userMatchers: [{userAttr: uid, groupAttr: DN}]}")
		if problems.HasErrors() || len(problems) != 1 || !strings.Contains(problems[0].Message, "finds no group") {
			t.Errorf("a DN can't be searched for: %v", problems)
		}
	})
})
