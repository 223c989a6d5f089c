package microsoft

import (
	"slices"
	"strings"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// Permissions of Graph, in lower case. Scopes name them as they are, or after the address of Graph; upper and lower case don't
// differ.
const (
	readUser      = "user.read"
	readDirectory = "directory.read.all"
	whatIsGranted = ".default" // all that was agreed to already; nothing can be asked for beside it
)

// openScopes belong to OpenID Connect, and to no API.
var openScopes = []string{oauth.ScopeOpenID, oauth.ScopeProfile, oauth.ScopeEmail, oauth.ScopeOfflineAccess}

// showsUser are the permissions with which Graph says who the user is.
var showsUser = []string{readUser, "user.read.all", "user.readwrite", "user.readwrite.all", readDirectory, "directory.readwrite.all"}

// permission returns which permission of Graph a scope is.
func permission(scope string) string { return strings.ToLower(scope[strings.LastIndex(scope, "/")+1:]) }

// scopes returns what is asked for.
func (c *Config) scopes(s connector.Scopes) []string {
	all := []string{oauth.ScopeOpenID, oauth.ScopeProfile} // for the ID token
	add := func(scopes ...string) {
		for _, scope := range scopes {
			if scope = c.qualified(scope); scope != "" && !slices.Contains(all, scope) {
				all = append(all, scope)
			}
		}
	}
	has := func(permissions ...string) bool {
		return slices.ContainsFunc(c.Scopes, func(scope string) bool { return slices.Contains(permissions, permission(scope)) })
	}
	add(c.Scopes...)
	if !has(whatIsGranted) {
		if !has(showsUser...) {
			add(readUser)
		}
		if c.needsGroups(s) {
			add(c.groupScopes()...)
		}
	}
	if s.OfflineAccess {
		add(oauth.ScopeOfflineAccess)
	}
	return all
}

// qualified puts the address of Graph before a permission in clouds that are configured by name, as some have several Graphs.
func (c *Config) qualified(scope string) string {
	if c.Cloud == "" || c.Cloud == global || scope == "" || strings.Contains(scope, "/") || slices.Contains(openScopes, scope) {
		return scope
	}
	return clouds[c.Cloud].graph + "/" + scope
}

// groupScopes returns what is asked for where groups are read. A tenant's administrator has to agree to the default, as they did
// for upstream.
func (c *Config) groupScopes() []string {
	if len(c.GroupScopes) > 0 {
		return c.GroupScopes
	}
	return []string{readDirectory}
}

// readsDirectory reports whether Graph may be asked about any object of the directory.
func (c *Config) readsDirectory() bool {
	return slices.ContainsFunc(slices.Concat(c.Scopes, c.groupScopes()), func(scope string) bool {
		return slices.Contains([]string{readDirectory, "directory.readwrite.all"}, permission(scope))
	})
}

// needsGroups reports whether the groups of a user are asked for.
func (c *Config) needsGroups(s connector.Scopes) bool {
	return c.pinned() && connector.NeedsGroups(s, c.Groups)
}
