package app

import (
	"net/url"

	"dex/internal/config"
	"dex/internal/connector"
)

// checkCallbacks warns of connectors to which no provider can send anybody back, and of those that share an address: nobody
// can tell whose an answer is that arrives there, so that one provider may get the codes of another (RFC 9700, section 4.4).
func (p *Plan) checkCallbacks() config.Problems {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil // was reported already
	}
	shared := issuer.JoinPath("callback").String()
	first := "" // of those that share it
	var found config.Problems
	for _, d := range p.connectors {
		if !d.BeginsLogins() {
			continue
		}
		returning, ok := d.Config.(connector.Returning)
		if !ok {
			continue
		}
		warn := func(consequence, format string, args ...any) {
			problem := d.Problem("redirectURI", format, args...)
			problem.Warning, problem.Consequence = true, consequence
			found = append(found, problem)
		}
		env := connector.Env{CallbackURL: shared, OwnCallbackURL: issuer.JoinPath("callback", url.PathEscape(d.ID)).String()}
		to := returning.ReturnsTo()
		address, ours := env.ReturnURL(to.URI)
		switch {
		case !ours && to.Signed:
			warn("", "is %s, and not %s: responses arrive only if something in between leads them there", address, shared)
		case !ours:
			warn("nobody can log in through this connector", "is %s, and must be %s, or %s", address, env.OwnCallbackURL, shared)
		case to.Signed, address == env.OwnCallbackURL:
		case first == "":
			first = d.ID
		default:
			warn("", "is that of connector %q too: a provider that turns bad may get the codes of another; set it to %s here and at the provider",
				first, env.OwnCallbackURL)
		}
	}
	return found
}
