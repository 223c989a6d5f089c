package config

import (
	"net/url"
	"slices"
	"strings"
)

func (v *validator) staticClients() {
	seen := map[string]int{}
	for i := range v.cfg.StaticClients {
		c := &v.cfg.StaticClients[i]
		key := Item("staticClients", i)
		v.clientSecret(key, c)
		v.previousSecret(key, c)
		v.Required(key+".name", c.Name, "users see it when they are asked for their consent")
		if !v.clientID(key, c) {
			continue
		}
		if first, twice := seen[c.ID]; twice {
			v.Overrides(key+idKey(c), Item("staticClients", first), "%q is the ID of staticClients[%d] too", c.ID, first)
		}
		seen[c.ID] = i
	}
	// Only now every ID is known.
	for i, c := range v.cfg.StaticClients {
		v.clientReferences(Item("staticClients", i), c, seen)
	}
}

func idKey(c *Client) string {
	if c.IDEnv != "" {
		return ".idEnv"
	}
	return ".id"
}

func (v *validator) clientID(key string, c *Client) bool {
	switch {
	case c.ID != "" && c.IDEnv != "":
		v.Errorf(key+".idEnv", "give id or idEnv, not both")
		return false
	case c.IDEnv == "":
		return v.Required(key+".id", c.ID, "the client ID, or idEnv with the name of an environment variable")
	default:
		id, ok := v.FromVariable(key+".idEnv", c.IDEnv)
		c.ID = id
		return ok
	}
}

func (v *validator) clientSecret(key string, c *Client) {
	switch {
	case c.Secret != "" && c.SecretEnv != "":
		v.Errorf(key+".secretEnv", "give secret or secretEnv, not both")
	case c.SecretEnv != "":
		c.Secret, _ = v.FromVariable(key+".secretEnv", c.SecretEnv)
	case c.Secret == "" && !c.Public && !v.IsBroken(key+".public") && !v.IsBroken(key+".secretEnv"):
		v.Errorf(key+".secret", "is required, or secretEnv with the name of an environment variable, or public: true")
	}
}

// previousSecret reads the secret that is being replaced.
func (v *validator) previousSecret(key string, c *Client) {
	switch {
	case c.PreviousSecret != "" && c.PreviousSecretEnv != "":
		v.Errorf(key+".previousSecretEnv", "give previousSecret or previousSecretEnv, not both")
	case c.PreviousSecretEnv != "":
		c.PreviousSecret, _ = v.FromVariable(key+".previousSecretEnv", c.PreviousSecretEnv)
	}
	if c.PreviousSecret == "" {
		return
	}
	switch previous := key + ".previousSecret" + envSuffix(c.PreviousSecretEnv); c.Secret {
	case "":
		v.Errorf(previous, "needs a secret beside it, which takes its place")
	case c.PreviousSecret:
		v.Warnf(previous, "is the same as the secret; leave it out")
	}
}

func envSuffix(variable string) string {
	if variable != "" {
		return "Env"
	}
	return ""
}

func (v *validator) clientReferences(key string, c Client, clients map[string]int) {
	v.redirectURIs(key, c)
	for i, id := range c.TrustedPeers {
		v.knownClient(Item(key+".trustedPeers", i), id, clients)
	}
	for i, id := range c.SSOSharedWith {
		if id != "*" {
			v.knownClient(Item(key+".ssoSharedWith", i), id, clients)
		}
	}
	for i, id := range c.AllowedConnectors {
		v.knownConnector(Item(key+".allowedConnectors", i), id)
	}
	v.EachOf(key+".grantTypes", c.GrantTypes, GrantTypes)
	v.OptionalOf(key+".refreshTokenLifetime", c.RefreshTokenLifetime, refreshTokenLifetimes)
	v.mfaChain(key+".mfaChain", c.MFAChain)
}

func (v *validator) knownClient(key, id string, clients map[string]int) {
	if _, ok := clients[id]; !ok {
		v.Warnf(key, "there is no client %q in this file; it works only if one is in the storage", id)
	}
}

// redirectURIs warns of a client that no browser can come back to. Public ones may always use a loopback address.
func (v *validator) redirectURIs(key string, c Client) {
	serves := len(c.TrustedPeers) > 0 || c.ClientCredentialsClaims != nil // an API or a program
	uses := func(grant string) bool { return len(c.GrantTypes) == 0 || slices.Contains(c.GrantTypes, grant) }
	if len(c.RedirectURIs) == 0 && !c.Public && !serves && (uses("authorization_code") || uses("implicit")) {
		v.Warnf(key+".redirectURIs", "is empty: nobody can log in to this client with a browser; if that is meant, list in grantTypes "+
			"what it does instead")
	}
	for i, uri := range c.RedirectURIs {
		v.redirectURI(Item(key+".redirectURIs", i), uri)
	}
}

// redirectURI warns about what no request can match. It is no error, because it never was one and does no harm. What is no
// URI at all is found where clients are made.
func (v *validator) redirectURI(key, uri string) {
	const (
		outOfBand = "urn:ietf:wg:oauth:2.0:oob"
		device    = "/device/callback"
	)
	if uri == outOfBand || strings.HasPrefix(uri, "/") && strings.HasSuffix(uri, device) {
		return
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
	case u.Scheme == "" || isHTTP(u) && u.Host == "":
		v.Warnf(key, "is not an absolute URI such as https://app.example.net/callback, nor %s or %s", device, outOfBand)
	case strings.Contains(uri, "*"):
		v.Warnf(key, "has a *, which stands for itself: addresses are compared character by character, so list each of them")
	case u.Fragment != "" || strings.HasSuffix(uri, "#"):
		v.Warnf(key, "must not have a fragment (the part from # on)")
	}
}
