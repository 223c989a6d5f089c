package ldap_test

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

var offline = connector.Scopes{OfflineAccess: true, Groups: true}

const everything = "groupSearch: {baseDN: '" + units + "', nameAttr: cn, userMatchers: [{userAttr: DN, groupAttr: member}]}\n"

func TestRefresh(t *testing.T) {
	s := serve(t, nil, jane(), group("a", jane().dn))
	c := open(t, users(s)+everything)
	id := mustLogin(t, c, offline, "jane", "foo")
	if want := `{"username":"jane","entry":{"DN":"cn=jane,ou=People,dc=example,dc=org"}}`; string(id.Data) != want {
		t.Errorf("data %s, want %s", id.Data, want)
	}
	if online := mustLogin(t, c, connector.Scopes{}, "jane", "foo"); online.Data != nil {
		t.Errorf("data %s of a login that isn't to be refreshed", online.Data)
	}
	binds := len(s.binds)

	changed := jane()
	changed.attributes["cn"], changed.attributes["mail"] = []string{"Jane Roe"}, []string{"roe@example.org"}
	s.change(changed, group("b", jane().dn))
	got, err := c.Refresh(t.Context(), offline, id)
	want := connector.Identity{
		UserID: "jane", Username: "Jane Roe", Email: "roe@example.org", EmailVerified: true, Groups: []string{"b"}, Data: id.Data,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, identity (-want +got):\n%s", err, diff)
	}
	if len(s.binds) != binds {
		t.Errorf("%d binds for a refresh", len(s.binds)-binds)
	}

	s.change(group("b", jane().dn))
	if _, err := c.Refresh(t.Context(), offline, id); !errors.Is(err, connector.ErrGone) {
		t.Errorf("user is gone: got %v", err)
	}
	s.note(func() { s.fault = func(string, string) uint16 { return goldap.LDAPResultOperationsError } })
	if _, err := c.Refresh(t.Context(), offline, id); err == nil || errors.Is(err, connector.ErrGone) {
		t.Errorf("server fails: got %v", err)
	}
}

func TestRefreshReadsUpstreamsData(t *testing.T) {
	s := serve(t, nil, jane())
	c := open(t, users(s))
	id := connector.Identity{UserID: "jane", Data: []byte(`{"username":"jane","entry":{"DN":"cn=jane,ou=People,dc=example,dc=org",` +
		`"Attributes":[{"Name":"uid","Values":["jane"],"ByteValues":["amFuZQ=="]},{"Name":"mail","Values":["x"],"ByteValues":["eA=="]}]}}`)}
	got, err := c.Refresh(t.Context(), offline, id)
	if err != nil || got.UserID != "jane" || got.Email != "jane@example.org" {
		t.Errorf("got %+v, %v", got, err)
	}
	var kept struct {
		Entry map[string]any `json:"entry"`
	}
	if err := json.Unmarshal(got.Data, &kept); err != nil || len(kept.Entry) != 1 {
		t.Errorf("data %s, %v", got.Data, err)
	}
	for _, broken := range []string{"", "{}", "null", "[]", `{"username":`, `{"entry":{"DN":"cn=jane,ou=People,dc=example,dc=org"}}`} {
		id.Data = []byte(broken)
		if _, err := c.Refresh(t.Context(), offline, id); !errors.Is(err, connector.ErrGone) {
			t.Errorf("data %q: got %v", broken, err)
		}
	}
}

func TestRefreshAfterAMove(t *testing.T) {
	const byDN, byName = "userSearch: {baseDN: '" + people + "', username: mail, idAttr: DN}\n", "userSearch: {baseDN: '" + people + "', username: mail, idAttr: uid}\n"
	spelled := jane()
	spelled.dn = "CN=Jane, OU=People,dc=example,dc=org"
	moved := jane()
	moved.dn = "cn=roe,ou=Moved," + people
	another := jane()
	another.attributes["uid"] = []string{"june"}
	for name, test := range map[string]struct {
		search string
		now    entry
		gone   bool
	}{
		"DN in another spelling, id is the DN": {byDN, spelled, false},
		"moved, id stays":                      {byName, moved, false},
		"moved, id is the DN":                  {byDN, moved, true},
		"another user at the DN":               {byName, another, true},
	} {
		s := serve(t, nil, jane())
		c := open(t, plain(s)+test.search)
		id := mustLogin(t, c, offline, "jane@example.org", "foo")
		s.change(test.now)
		got, err := c.Refresh(t.Context(), offline, id)
		if errors.Is(err, connector.ErrGone) != test.gone || !test.gone && (err != nil || got.UserID != id.UserID) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestAccountState(t *testing.T) {
	for name, test := range map[string]struct {
		attributes map[string][]string
		let        bool
	}{
		"Active Directory":                   {map[string][]string{"userAccountControl": {"512"}, "accountExpires": {"9223372036854775807"}}, true},
		"Active Directory, never expires":    {map[string][]string{"userAccountControl": {"66048"}, "accountExpires": {"0"}}, true},
		"Active Directory, disabled":         {map[string][]string{"useraccountcontrol": {"514"}}, false},
		"Active Directory, expired":          {map[string][]string{"accountExpires": {"132539328000000000"}}, false}, // 2021
		"Active Directory, expires":          {map[string][]string{"accountExpires": {"157766400000000000"}}, true},  // 2100
		"Active Directory, locked for now":   {map[string][]string{"userAccountControl": {"512"}, "lockoutTime": {"132539328000000000"}}, true},
		"password policy, locked for good":   {map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}, false},
		"password policy, locked for now":    {map[string][]string{"pwdAccountLockedTime": {"20260101000000Z"}}, true},
		"389 Directory Server, inactive":     {map[string][]string{"nsAccountLock": {"TRUE"}}, false},
		"389 Directory Server, active":       {map[string][]string{"nsAccountLock": {"false"}}, true},
		"another directory's, no number":     {map[string][]string{"userAccountControl": {"many"}}, true},
		"another directory's, no time":       {map[string][]string{"accountExpires": {"never"}}, true},
		"disabled, and nobody wants to know": {map[string][]string{"userAccountControl": {"514"}}, true},
	} {
		s := serve(t, nil, jane())
		settings := users(s)
		if name == "disabled, and nobody wants to know" {
			settings += "accountState: false\n"
		}
		c := open(t, settings)
		id := mustLogin(t, c, offline, "jane", "foo")
		user := jane()
		maps.Copy(user.attributes, test.attributes)
		s.change(user)
		_, err := c.Refresh(t.Context(), offline, id)
		if (err == nil) != test.let || (connector.OutcomeOf(err) == connector.Refused) != !test.let {
			t.Errorf("%s: got %v", name, err)
		}
		_, ok, err := c.Login(t.Context(), offline, "jane", "foo")
		if ok != test.let || (connector.OutcomeOf(err) == connector.Refused) != !test.let {
			t.Errorf("%s: login: %t, %v", name, ok, err)
		}
		if _, ok, err := c.Login(t.Context(), offline, "jane", "wrong"); ok || err != nil {
			t.Errorf("%s: login with a wrong password: %t, %v", name, ok, err)
		}
	}
}
