package client

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"dex/internal/config"
	"dex/internal/oauth"
	"dex/internal/spelling"
)

// written is a client as the configuration file has it: its id and secrets may come from environment variables.
type written struct {
	Client

	IDEnv             string `key:"idEnv"`
	SecretEnv         string `key:"secretEnv"`
	PreviousSecretEnv string `key:"previousSecretEnv"`
}

// RefreshTokenLifetimes are the values of refreshTokenLifetime.
var RefreshTokenLifetimes = []string{LifetimeStandalone, LifetimeSession}

// Written returns what a client is decoded into from the configuration file.
func Written() reflect.Type { return reflect.TypeFor[written]() }

// Read returns the clients of a configuration file and what is wrong with them. Of clients with the same id the last one
// counts. connectors reports whether the file has a connector with an id.
func Read(cfg *config.Config, connectors func(id string) bool) ([]*Client, config.Problems) {
	var list []written
	on := cfg.StaticClients.Check(&list)
	seen := map[string]int{}
	for i := range list {
		w, key := &list[i], config.Item("", i)
		w.resolve(on, key)
		w.check(on, key, true)
		on.Required(key+".name", w.Name, "users see it when they are asked for their consent")
		if w.ID == "" {
			continue
		}
		if first, twice := seen[w.ID]; twice {
			on.Overrides(key+".id"+envSuffix(w.IDEnv), config.Item("", first), "%q is the ID of staticClients[%d] too", w.ID, first)
		}
		seen[w.ID] = i
	}
	clients := make([]*Client, 0, len(list))
	for i := range list { // only now every id is known
		w := &list[i]
		w.checkReferences(on, config.Item("", i), seen, connectors)
		w.checkSessions(on, config.Item("", i), cfg.SessionsOn())
		cfg.CheckMFAChain(on, config.Item("", i)+".mfaChain", w.MFAChain)
		clients = append(clients, &w.Client)
	}
	return config.LastOfEach(clients, func(c *Client) string { return c.ID }), on.Problems()
}

// resolve looks up the environment variables.
func (w *written) resolve(on *config.Checker, key string) {
	for _, m := range []struct {
		name     string
		value    *string
		variable string
	}{
		{"id", &w.ID, w.IDEnv}, {"secret", &w.Secret, w.SecretEnv}, {"previousSecret", &w.PreviousSecret, w.PreviousSecretEnv},
	} {
		member, env := key+"."+m.name, key+"."+m.name+"Env"
		switch {
		case *m.value != "" && m.variable != "":
			on.Errorf(env, "give %[1]s or %[1]sEnv, not both", m.name)
		case m.variable != "":
			var ok bool
			if *m.value, ok = on.FromVariable(env, m.variable); !ok {
				on.Break(member) // it was given, and has been reported
			}
		case on.IsBroken(env):
			on.Break(member)
		}
	}
}

// Validate returns what is wrong with a client in its stored form, as a [*config.InvalidError], or nil.
func (c *Client) Validate() error {
	on := config.Section{}.Checker()
	c.Check(on, "")
	return on.Problems().Err()
}

// Check reports what is wrong with a client that comes from elsewhere than the file, at a key.
func (c *Client) Check(on *config.Checker, key string) { (&written{Client: *c}).check(on, key, false) }

// check reports mistakes in the client itself. In a file, messages mention that variables may give values.
func (w *written) check(on *config.Checker, key string, inFile bool) {
	orEnv := func(name string) string {
		if !inFile {
			return ""
		}
		return ", or " + name + "Env with the name of an environment variable"
	}
	on.Required(key+".id", w.ID, "the client ID"+orEnv("id"))
	if w.Secret == "" && !w.Public && !on.IsBroken(key+".public") {
		on.Errorf(key+".secret", "is required%s, or public: true", orEnv("secret"))
	}
	if w.PreviousSecret != "" {
		switch previous := key + ".previousSecret" + envSuffix(w.PreviousSecretEnv); w.Secret {
		case "":
			on.Errorf(previous, "needs a secret beside it, which takes its place")
		case w.PreviousSecret:
			on.Warnf(previous, "is the same as the secret; leave it out")
		}
	}
	w.checkRedirectURIs(on, key)
	w.checkLogout(on, key)
	w.Access.Check(on, key)
	on.EachOf(key+".grantTypes", w.GrantTypes, config.GrantTypes)
	on.OptionalOf(key+".refreshTokenLifetime", w.RefreshTokenLifetime, RefreshTokenLifetimes)
	w.checkTokens(on, key)
}

func envSuffix(variable string) string {
	if variable != "" {
		return "Env"
	}
	return ""
}

// shortID is how long an id is at most that isn't taken for another one misspelt, in bytes: one letter makes too much of it.
const shortID = 2

// checkSessions warns of settings that do nothing while sessions are off.
func (w *written) checkSessions(on *config.Checker, key string, sessions bool) {
	if sessions {
		return
	}
	for _, m := range []struct {
		name string
		set  bool
	}{
		{"postLogoutRedirectURIs", len(w.PostLogoutRedirectURIs) > 0}, {"logoutWithoutConfirmation", w.LogoutWithoutConfirmation},
		{"backchannelLogoutURI", w.BackchannelLogoutURI != ""}, {"frontchannelLogoutURI", w.FrontchannelLogoutURI != ""},
		{"ssoSharedWith", len(w.SSOSharedWith) > 0},
	} {
		if m.set {
			on.Warnf(key+"."+m.name, "does nothing without browser sessions; add the section sessions, with {} where there is nothing to set")
		}
	}
	if w.SessionBound() {
		on.Warnf(key+".refreshTokenLifetime",
			"does nothing without browser sessions: there are none for refresh tokens to end with; add the section sessions, with {} where there is nothing to set")
	}
}

// checkReferences warns of clients and connectors that the file doesn't have.
func (w *written) checkReferences(on *config.Checker, key string, clients map[string]int, connectors func(string) bool) {
	ids := slices.Sorted(maps.Keys(clients))
	known := func(key, id string) {
		if _, ok := clients[id]; ok {
			return
		}
		if near, ok := spelling.Nearest(id, ids); ok && len(id) > shortID {
			on.Warnf(key, "there is no client %q in this file; did you mean %q?", id, near)
			return
		}
		on.Absent(key, "client", id)
	}
	for i, id := range w.TrustedPeers {
		known(config.Item(key+".trustedPeers", i), id)
	}
	for i, id := range w.SSOSharedWith {
		if id != AllClients {
			known(config.Item(key+".ssoSharedWith", i), id)
		}
	}
	for i, id := range w.AllowedConnectors {
		if !connectors(id) {
			on.Absent(config.Item(key+".allowedConnectors", i), "connector", id)
		}
	}
}

// checkRedirectURIs also warns of a client that no browser can return to. Public ones may always use a loopback address.
func (w *written) checkRedirectURIs(on *config.Checker, key string) {
	serves := len(w.TrustedPeers) > 0 || w.ClientCredentialsClaims != nil // an API or a program
	browser := w.AllowsGrant(oauth.GrantAuthorizationCode) || w.AllowsGrant(oauth.GrantImplicit)
	if len(w.RedirectURIs) == 0 && !w.Public && !serves && browser {
		on.Warnf(key+".redirectURIs", "is empty: nobody can log in to this client with a browser; if that is meant, list in grantTypes "+
			"what it does instead")
	}
	for i, uri := range w.RedirectURIs {
		checkRedirectURI(on, config.Item(key+".redirectURIs", i), uri)
	}
}

// checkRedirectURI reports a redirect URI that nothing may be sent to. It only warns of one that no request can match, which
// does no harm and was always accepted.
func checkRedirectURI(on *config.Checker, key, uri string) {
	const device = "/device/callback"
	if uri == oauth.RedirectOutOfBand || strings.HasPrefix(uri, "/") && strings.HasSuffix(uri, device) {
		return
	}
	u, err := url.Parse(uri)
	relative := err == nil && u.Scheme == ""
	if err := CheckRedirectURI(uri); err != nil && !relative {
		on.Errorf(key, "%v", err)
	}
	switch {
	case err != nil:
	case relative || slices.Contains([]string{"http", "https"}, u.Scheme) && u.Host == "":
		on.Warnf(key, "is not an absolute URI such as https://app.example.net/callback, nor %s or %s", device, oauth.RedirectOutOfBand)
	case strings.Contains(uri, "*"):
		on.Warnf(key, "has a *, which stands for itself: addresses are compared character by character, so list each of them")
	case u.Fragment != "" || strings.HasSuffix(uri, "#"):
		on.Warnf(key, "must not have a fragment (the part from # on)")
	}
}
