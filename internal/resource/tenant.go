package resource

import (
	"cmp"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dex/internal/client"
	"dex/internal/config"
	"dex/internal/oauth"
)

// A tenant is a namespace other than Dex's own that may have clients. Its people are not those who run Dex: a client of theirs gets
// an id that no other namespace can have, and users see which namespace it is from.

const (
	// maxTenantName is how long the name of a tenant's client may be, in characters, so that users see all of it.
	maxTenantName = 64
	ownNamespace  = "may be set in Dex's own namespace only"
)

// tenantGrants are the grants that a tenant's client may have. The password grant would show it passwords of all users of a
// connector, token exchange would take tokens that sources gave other applications, and implicit puts tokens into addresses.
var tenantGrants = []string{
	oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode, oauth.GrantClientCredentials,
}

// defaultTenantGrants are what it has if it doesn't say.
var defaultTenantGrants = []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode}

// operatorsMembers are what a tenant's client may not say at all, and why.
var operatorsMembers = []struct{ name, why string }{
	{"clientCredentialsClaims", "applications would take its groups for those of users"},
	{"groups", "applications would take its names for those of groups that a source has"},
	{"tokenPolicy", "applications would take its claims for what a source says"},
	{"mfaChain", "it would switch off second factors that the server asks for"},
	{"logoURL", "it could pass for another application"},
	{"tokens", "it could keep tokens alive for longer than the server does, and have it keep further signing keys"},
	{"logoutWithoutConfirmation", "any page could sign users out of all applications"},
}

// checkTenant reports what the client of another namespace may not say, and fills in what it doesn't say.
func (s *clientSpec) checkTenant(on *config.Checker, spec config.Section, o *object, issuer *url.URL) {
	for _, m := range operatorsMembers {
		if spec.Has(m.name) {
			on.Errorf("spec."+m.name, ownNamespace+": %s", m.why)
		}
	}
	for i, grant := range s.GrantTypes {
		if slices.Contains(config.GrantTypes, grant) && !slices.Contains(tenantGrants, grant) {
			on.Errorf(config.Item("spec.grantTypes", i), "%q "+ownNamespace+"; other namespaces may have %s", grant, config.Quoted(tenantGrants))
		}
	}
	if len(s.GrantTypes) == 0 {
		s.GrantTypes = defaultTenantGrants
	}
	checkTenantName(on, s.Name)
	checkTenantSharing(on, s.SSOSharedWith, o.Metadata.Namespace)
	for _, list := range []struct {
		member string
		uris   []string
	}{{"spec.redirectURIs", s.RedirectURIs}, {"spec.postLogoutRedirectURIs", s.PostLogoutRedirectURIs}} {
		for i, uri := range list.uris {
			checkTenantRedirect(on, config.Item(list.member, i), uri, issuer)
		}
	}
	for _, channel := range []struct{ member, uri string }{
		{"spec.backchannelLogoutURI", s.BackchannelLogoutURI}, {"spec.frontchannelLogoutURI", s.FrontchannelLogoutURI},
	} {
		if channel.uri != "" {
			checkTenantRedirect(on, channel.member, channel.uri, issuer)
		}
	}
	s.Name = o.Metadata.Namespace + "/" + cmp.Or(s.Name, o.Metadata.Name)
}

// checkTenantSharing lets a tenant share sessions among its own clients. Sharing with others would sign users in to applications whose
// people want a sign-in of their own.
func checkTenantSharing(on *config.Checker, with []string, namespace string) {
	for i, id := range with {
		if !strings.HasPrefix(id, namespace+".") {
			on.Errorf(config.Item("spec.ssoSharedWith", i), "%q "+ownNamespace+"; other namespaces may have their own clients, whose IDs begin with %q",
				id, namespace+".")
		}
	}
}

// checkTenantName refuses names that would not be read as they are, such as with characters that turn the direction of writing.
func checkTenantName(on *config.Checker, name string) {
	unclear := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' || unicode.Is(unicode.Cf, r) || r == '/'
	}
	switch {
	case utf8.RuneCountInString(name) > maxTenantName:
		on.Errorf("spec.name", "has more than %d characters", maxTenantName)
	case strings.ContainsFunc(name, unclear), strings.TrimSpace(name) != name:
		on.Errorf("spec.name", "must not have /, blanks at its ends, or characters that can't be seen")
	}
}

// checkTenantRedirect refuses addresses of Dex's own, whose pages answers to applications must not reach.
func checkTenantRedirect(on *config.Checker, key, uri string, issuer *url.URL) {
	if uri == oauth.RedirectOutOfBand {
		return // a page of ours shows the code, which is of use to this client only
	}
	if err := client.CheckRedirectURI(uri); err != nil {
		on.Errorf(key, "%v", err)
		return
	}
	u, err := url.Parse(uri)
	if err != nil {
		return // was reported
	}
	web := u.Scheme == "http" || u.Scheme == "https" // browsers take the host from the path where it is empty
	if u.Opaque != "" || web && u.Host == "" {
		on.Errorf(key, "must be an absolute URI with two slashes, such as https://app.example.net/callback")
		return
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		on.Errorf(key, "must have its host in ASCII, as browsers read other characters in more than one way")
		return
	}
	if !strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), issuer.Hostname()) || !samePort(u, issuer) {
		return
	}
	below := strings.TrimSuffix(issuer.Path, "/") + "/"
	clean := path.Clean("/" + u.Path)
	switch {
	case strings.HasPrefix(clean+"/", below):
		on.Errorf(key, "is an address of Dex's own")
	case strings.Contains(u.Path, `\`), clean != strings.TrimSuffix("/"+strings.TrimPrefix(u.Path, "/"), "/") && clean != "/":
		// Browsers take \ for /, and .. for the way out of an empty segment, so they may end up elsewhere than we think.
		on.Errorf(key, `must not have \, //, . or .. in its path, as its host is that of Dex`)
	}
}

// samePort also holds for the usual ports of http and https, of which one often leads to the other.
func samePort(u, issuer *url.URL) bool {
	usual := func(port string) bool { return port == "" || port == "80" || port == "443" }
	return u.Port() == issuer.Port() || usual(u.Port()) && usual(issuer.Port())
}
