package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"dex/test/servers"
)

// policyPeople are users in a directory with a password policy. Only two users' passwords expire.
func policyPeople() string {
	var all strings.Builder
	for _, uid := range []string{"kim", "locked", "reset", "moved", "removed", "disabled", "member"} {
		all.WriteString(ldapPerson("uid="+uid+","+ldapPeople, uid))
	}
	for uid, changed := range map[string]time.Time{"expired": time.Now().AddDate(-1, 0, 0), "recent": time.Now()} {
		all.WriteString(strings.TrimSpace(ldapPerson("uid="+uid+","+ldapPeople, uid)) +
			"\npwdChangedTime: " + changed.UTC().Format("20060102150405Z") + "\n\n")
	}
	return all.String() + ldapGroup("staff", "uid=member,"+ldapPeople, kimDN)
}

// modify returns LDIF that sets an attribute of a user.
func modify(uid, attribute, value string) string {
	return "dn: uid=" + uid + "," + ldapPeople + "\nchangetype: modify\nreplace: " + attribute + "\n" + attribute + ": " + value + "\n"
}

// TestPasswordPolicy checks that people are told in plain words why they can't log in.
func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	s := startSlapd(t, servers.SlapdOptions{LDIF: policyPeople(), PasswordPolicy: true})
	d := startDexWithSources(t, ldapConnector("ldap", s, nil))
	enter := func(t *testing.T, uid string) *page {
		t.Helper()
		return d.passwordLogin(t, "ldap", uid, passwordOf(uid))
	}

	d.mustEnter(t, "ldap", "kim", passwordOf("kim"))
	t.Run("S2-02 locked", func(t *testing.T) {
		for range 5 {
			wantPage(t, d.passwordLogin(t, "ldap", "locked", "wrong"), http.StatusUnauthorized, "Login failed")
		}
		wantPage(t, enter(t, "locked"), http.StatusForbidden, "Your account is locked")
	})
	t.Run("S2-02 must change", func(t *testing.T) {
		change(t, s, modify("reset", "pwdReset", "TRUE"))
		wantPage(t, enter(t, "reset"), http.StatusForbidden, "You must change your password")
	})
	t.Run("S2-02 expired", func(t *testing.T) {
		change(t, s, "dn: cn=default,ou=Policies,"+servers.SlapdBase+"\nchangetype: modify\nadd: pwdMaxAge\npwdMaxAge: 86400\n")
		wantPage(t, enter(t, "expired"), http.StatusForbidden, "Your password has expired")
	})
	t.Run("S2-02 expires soon", func(t *testing.T) {
		change(t, s, "dn: cn=default,ou=Policies,"+servers.SlapdBase+"\nchangetype: modify\nadd: pwdExpireWarning\n"+
			"pwdExpireWarning: 86400\n")
		d.mustEnter(t, "ldap", "recent", passwordOf("recent"))
	})
}

// TestRefreshAfterChanges refreshes logins of people whose entries have changed since the login.
func TestRefreshAfterChanges(t *testing.T) {
	t.Parallel()
	s := startSlapd(t, servers.SlapdOptions{LDIF: policyPeople(), PasswordPolicy: true})
	d := startDexWithSources(t, ldapConnector("ldap", s, nil))
	for _, c := range []struct {
		name, uid, changes string
		want               *personClaims // nil if the login is over
	}{
		{"nothing", "member", "", &personClaims{
			Name: "The member", PreferredUsername: "member", Email: "member@example.org", Groups: []string{"staff"},
		}},
		{"attributes and groups", "kim", modify("kim", "mail", "new@example.org") + "\ndn: cn=new," + ldapGroups +
			"\nchangetype: add\nobjectClass: groupOfNames\nmember: " + kimDN + "\n", &personClaims{
			Name: "The kim", PreferredUsername: "kim", Email: "new@example.org", Groups: []string{"new", "staff"},
		}},
		{"moved to another place", "moved", "dn: uid=moved," + ldapPeople + "\nchangetype: modrdn\nnewrdn: cn=The moved\n" +
			"deleteoldrdn: 0\n", &personClaims{Name: "The moved", PreferredUsername: "moved", Email: "moved@example.org"}},
		{"locked by somebody's guesses", "locked", modify("locked", "pwdAccountLockedTime", "20200101000000Z"), &personClaims{
			Name: "The locked", PreferredUsername: "locked", Email: "locked@example.org",
		}},
		{"locked by an administrator", "disabled", modify("disabled", "pwdAccountLockedTime", "000001010000Z"), nil},
		{"removed", "removed", "dn: uid=removed," + ldapPeople + "\nchangetype: delete\n", nil},
	} {
		t.Run("S2-02 "+c.name, func(t *testing.T) {
			tokens := d.mustEnter(t, "ldap", c.uid, passwordOf(c.uid))
			if c.changes != "" {
				change(t, s, c.changes)
			}
			answer := d.mustRefresh(t, tokens.RefreshToken)
			if c.want != nil {
				wantClaims(t, answer, *c.want)
				return
			}
			if answer.status != http.StatusBadRequest || answer.Error != "invalid_grant" {
				t.Errorf("status %d, error %q, want invalid_grant", answer.status, answer.Error)
			}
		})
	}
}

// TestDirectoryFailsOver kills one of two servers, then the other.
func TestDirectoryFailsOver(t *testing.T) {
	t.Parallel()
	o := servers.SlapdOptions{LDIF: ldapPerson(kimDN, "kim") + ldapGroup("team", kimDN)}
	first, second := startSlapd(t, o), startSlapd(t, o)
	d := startDexWithSources(t, ldapConnector("ldap", first, section{
		"hosts": []string{second.TLSAddress}, "rootCA": bundle(t, first, second),
	}))
	kim := personClaims{Name: "The kim", PreferredUsername: "kim", Email: "kim@example.org", Groups: []string{"team"}}
	tokens := d.mustEnter(t, "ldap", "kim", passwordOf("kim"))
	if open := connections(t, second); open > 0 {
		t.Errorf("%d connections to the second server while the first one works", open)
	}

	t.Run("S2-02 the first is killed", func(t *testing.T) {
		first.Kill()
		wantClaims(t, d.mustRefresh(t, tokens.RefreshToken), kim)
		tokens = d.mustEnter(t, "ldap", "kim", passwordOf("kim"))
		wantClaims(t, tokens, kim)
		wantPage(t, d.passwordLogin(t, "ldap", "kim", "wrong"), http.StatusUnauthorized, "Login failed")
	})
	t.Run("S2-02 all are down", func(t *testing.T) {
		second.Kill()
		wantPage(t, d.passwordLogin(t, "ldap", "kim", passwordOf("kim")), http.StatusServiceUnavailable, "can't be checked")
		// The login is still valid, but can't be refreshed for now.
		if answer := d.mustRefresh(t, tokens.RefreshToken); answer.status < 500 {
			t.Errorf("refresh: status %d, error %q, want a server's error", answer.status, answer.Error)
		}
	})
	t.Run("S2-02 the first is back", func(t *testing.T) {
		if err := first.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantClaims(t, d.mustEnter(t, "ldap", "kim", passwordOf("kim")), kim)
		wantClaims(t, d.mustRefresh(t, tokens.RefreshToken), kim)
	})
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// connections returns how many connections a server has.
func connections(t *testing.T, s *servers.Slapd) int {
	t.Helper()
	open, err := s.Connections()
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
