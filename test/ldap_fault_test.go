package e2e

import (
	"testing"

	"dex/internal/faulttest"
	"dex/test/servers"
)

// OpenLDAP announces paging, but refuses it to accounts if configured so.
var _ = faulttest.Add("C-02", func(t *testing.T) {
	const nobody, few = "uid=nobody," + ldapPeople, "uid=few," + ldapPeople
	s := startSlapd(t, servers.SlapdOptions{
		LDIF: ldapPerson(kimDN, "kim") + ldapPerson(nobody, "nobody") + ldapPerson(few, "few") + ldapGroup("team", kimDN),
		Limits: []string{
			`dn.exact="` + nobody + `" size.prtotal=disabled`,
			`dn.exact="` + few + `" size.pr=100`,
		},
	})
	d := startDexWithSources(t,
		ldapConnector("nobody", s, section{"bindDN": nobody, "bindPW": passwordOf("nobody")}),
		ldapConnector("few", s, section{"bindDN": few, "bindPW": passwordOf("few")}))
	kim := personClaims{Name: "The kim", PreferredUsername: "kim", Email: "kim@example.org", Groups: []string{"team"}}
	for _, connector := range []string{"nobody", "few"} {
		wantClaims(t, d.mustEnter(t, connector, "kim", passwordOf("kim")), kim)
	}
})
