package app

import (
	"net/url"

	"dex/internal/config"
)

// checkCallbacks warns of connectors to which no provider can send anybody back, and of those that share an address: nobody
// can tell whose an answer is that arrives there, so that one provider may get the codes of another (RFC 9700, section 4.4).
func (p *Plan) checkCallbacks() config.Problems {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil {
		return nil // was reported already
	}
	first := "" // of those that share it
	var found config.Problems
	for _, d := range p.connectors {
		c, ok := d.Callback(issuer)
		if !ok {
			continue
		}
		warn := func(consequence, format string, args ...any) {
			problem := d.Problem("redirectURI", format, args...)
			problem.Warning, problem.Consequence = true, consequence
			found = append(found, problem)
		}
		switch {
		case !c.Ours && c.Signed:
			warn("", "is %s, and not %s: responses arrive only if something in between leads them there", c.Address, c.Shared)
		case !c.Ours:
			warn("nobody can log in through this connector", "is %s, and must be %s, or %s", c.Address, c.Own, c.Shared)
		case c.Signed, c.Address == c.Own:
		case first == "":
			first = d.ID
		default:
			warn("", "is that of connector %q too: a provider that turns bad may get the codes of another; set it to %s here and at the provider",
				first, c.Own)
		}
	}
	return found
}
