package microsoft_test

import (
	"testing"

	"dex/internal/connector"
	"dex/internal/connector/connectortest"
	"dex/internal/oauth"
)

func TestExchange(t *testing.T) {
	const other = "0b2f1a50-6f1c-4c7a-9d0a-0c2a6c1f7e02"
	for name, c := range map[string]struct {
		tenant, client, account string
		any                     bool
		want                    connector.Outcome
	}{
		"ours":                     {domain, "", "", false, connector.Succeeded},
		"another's":                {domain, "other", "", false, connector.TokenRefused},
		"another's, for anybody":   {domain, "other", "", true, connector.TokenRefused},
		"another tenant's":         {domain, "", other, false, connector.Refused},
		"another tenant's, anyway": {domain, "", other, true, connector.Refused},
		"any tenant's":             {"common", "", other, false, connector.Succeeded},
		"opaque":                   {"common", "", connectortest.MicrosoftPersonal, false, connector.TokenRefused},
		"opaque, for anybody":      {"common", "", connectortest.MicrosoftPersonal, true, connector.TokenRefused},
		"opaque, of a tenant":      {domain, "", connectortest.MicrosoftPersonal, true, connector.TokenRefused},
	} {
		m, conn := start(t, c.tenant, nil)
		change(m, func(u *connectortest.MicrosoftUser) { u.Tenant = c.account })
		got, err := conn.(connector.TokenIdentity).TokenIdentity(t.Context(), connector.Scopes{}, connector.SubjectToken{
			Type: oauth.TokenTypeAccess, Token: m.Token(c.client, m.User, "user.read"), AnyAudience: c.any,
		})
		if connector.OutcomeOf(err) != c.want || (got.UserID != "") != (err == nil) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	m, conn := start(t, domain, object{"groups": []string{id(3)}})
	for _, c := range []struct {
		token connector.SubjectToken
		want  connector.Outcome
	}{
		{connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: m.Token("", m.User, "user.read", "directory.read.all")}, connector.Refused},
		{connector.SubjectToken{Type: oauth.TokenTypeID, Token: m.Token("", m.User)}, connector.TokenRefused},
		{connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "e30.e30.x"}, connector.TokenRefused},
		{connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "e30.x.x"}, connector.TokenRefused},
		{connector.SubjectToken{Type: oauth.TokenTypeAccess, Token: "e30.x.x.x.x"}, connector.TokenRefused},
	} {
		if _, err := conn.(connector.TokenIdentity).TokenIdentity(t.Context(), connector.Scopes{}, c.token); connector.OutcomeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.token.Token, err, c.want)
		}
	}
}
