package app

import (
	"net/url"

	"dex/internal/config"
	"dex/internal/connector/oauth"
	"dex/internal/connector/oidc"
	"dex/internal/connector/saml"
)

// checkCallbacks warns of connectors to which no provider can send anybody back, and of those that share an address: of an
// answer that comes there nobody can tell whose it is, so that one provider may get the codes of another (RFC 9700, section
// 4.4).
func (p *Plan) checkCallbacks() config.Problems {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil // was reported already
	}
	shared := issuer.JoinPath("callback").String()
	first := "" // of those that share it
	var found config.Problems
	for _, c := range p.Config.Connectors {
		settings := p.settings(c.ID)
		uri, ok := redirectURI(settings)
		source, isSAML := settings.(*saml.Config)
		if !ok && !isSAML {
			continue
		}
		warn := func(consequence, format string, args ...any) {
			problem := c.Config.Problem("redirectURI", format, args...)
			problem.Warning, problem.Consequence = true, consequence
			found = append(found, problem)
		}
		own := issuer.JoinPath("callback", url.PathEscape(c.ID)).String()
		switch {
		case isSAML:
			if at := source.RedirectURI; at != "" && at != own && at != shared {
				warn("", "is %s, and not %s: responses arrive only if something in between leads them there", at, shared)
			}
		case uri == own:
		case uri != "" && uri != shared:
			warn("nobody can log in through this connector", "is %s, and must be %s, or %s", uri, own, shared)
		case first == "":
			first = c.ID
		default:
			warn("", "is that of connector %q too: a provider that turns bad may get the codes of another; set it to %s here and at the provider",
				first, own)
		}
	}
	return found
}

// redirectURI returns the setting of that name; false for connectors of other types.
func redirectURI(settings any) (string, bool) {
	switch c := settings.(type) {
	case *oidc.Config:
		return c.RedirectURI, c.ClientID != "" // without, nobody logs in
	case *oauth.Config:
		return c.RedirectURI, true
	}
	return "", false
}
