package app

import (
	"net/url"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/oauth"
)

// checkRisks warns of what upstream allows and RFC 9700 advises against.
func (p *Plan) checkRisks() config.Problems {
	var found config.Problems
	warn := func(key, message string) {
		problem := p.Config.File.Problem(key, "%s", message)
		problem.Warning = true
		found = append(found, problem)
	}
	if slices.ContainsFunc(p.Config.OAuth2.ResponseTypes, givesTokens) {
		warn("oauth2.responseTypes", "puts tokens in the browser's address, where others may find them; use code where you can")
	}
	if p.Config.OAuth2.PasswordConnector != "" {
		warn("oauth2.passwordConnector", "lets applications see the passwords of users; use it only for those that can't open a browser")
	}
	public := func(c *client.Client) bool { return c.Public }
	if p.Config.Expiry.RefreshTokens.DisableRotation && slices.ContainsFunc(p.clients, public) {
		warn("expiry.refreshTokens.disableRotation", "lets nobody notice a stolen refresh token of a public client; leave rotation on")
	}
	return slices.Concat(found, p.checkMocks(), p.checkExchange(), p.checkCallbacks(), p.checkAccess())
}

// checkAccess warns of what api.access allows and doesn't say.
func (p *Plan) checkAccess() config.Problems {
	var found config.Problems
	warn := func(key, format string, args ...any) {
		problem := p.Config.File.Problem(key, format, args...)
		problem.Warning = true
		found = append(found, problem)
	}
	certificates := false
	for i, entry := range p.Config.API.Access {
		certificates = certificates || entry.Certificate != nil
		if entry.Token == nil {
			continue
		}
		is := func(c *client.Client) bool { return c.ID == entry.Token.Client }
		if !slices.ContainsFunc(p.clients, is) {
			warn(config.Item("api.access", i)+".token.client", "is not in staticClients: whoever may change it elsewhere, as callers with "+
				"the role clients may, can have its tokens sent to themselves, and then do what this entry allows")
		}
	}
	mutual := p.Config.GRPC.TLSClientCA+p.Config.API.TLSClientCA != ""
	if mutual && len(p.Config.API.Access) > 0 && !certificates {
		warn("api.access", "says nothing of certificates, so each certificate of the authorities in tlsClientCA may still do everything; "+
			"an entry with certificate limits them to what entries allow")
	}
	return found
}

// checkMocks warns of connectors for trials, unless applications on other machines can't reach the issuer anyway.
func (p *Plan) checkMocks() config.Problems {
	issuer, err := url.Parse(p.Config.Issuer)
	if err != nil || config.IsLoopback(issuer.Hostname()) {
		return nil
	}
	var found config.Problems
	for _, d := range p.connectors {
		if d.Type != "mockCallback" {
			continue
		}
		problem := d.EntryProblem("type", "signs everybody in who presses its button, all as the same user and without a password; it is for "+
			"trials, so remove it before any application trusts this issuer")
		problem.Warning = true
		found = append(found, problem)
	}
	return found
}

// givesTokens reports whether the authorization endpoint answers a response type with a token.
func givesTokens(responseType string) bool {
	words := strings.Fields(responseType)
	return slices.Contains(words, oauth.ResponseToken) || slices.Contains(words, oauth.ResponseIDToken)
}

// checkExchange warns of connectors through which anybody with a token of the provider can sign in, because some client needs no
// secret.
func (p *Plan) checkExchange() config.Problems {
	if !slices.Contains(p.Config.OAuth2.GrantTypes, oauth.GrantTokenExchange) {
		return nil
	}
	var found config.Problems
	for _, d := range p.connectors {
		open, ok := d.Config.(connector.OpenExchange)
		if !ok || open.ExchangesForAll() == "" || !d.Serves(oauth.GrantTokenExchange) {
			continue
		}
		for _, app := range p.clients {
			if !app.Public || !app.AllowsGrant(oauth.GrantTokenExchange) || !app.AllowsConnector(d.ID) {
				continue
			}
			problem := d.Problem(open.ExchangesForAll(), "whoever has a token that the provider made for one of these is signed in, "+
				"because client %q needs no secret for that; if the provider serves strangers too, say by allowedGroups who is meant", app.ID)
			problem.Warning = true
			found = append(found, problem)
			break
		}
	}
	return found
}
