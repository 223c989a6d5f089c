package saml

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"dex/internal/connector/settings"
	"dex/internal/saml"
)

// nameIDFormats maps the last components of the URNs of name formats, which are allowed in nameIDPolicyFormat too, to the
// URNs.
var nameIDFormats = func() map[string]string {
	formats := map[string]string{}
	for version, names := range map[string][]string{
		"1.1": {"emailAddress", "unspecified", "X509SubjectName", "WindowsDomainQualifiedName"},
		"2.0": {"encrypted", "entity", "kerberos", "persistent", "transient"},
	} {
		for _, name := range names {
			urn := "urn:oasis:names:tc:SAML:" + version + ":nameid-format:" + name
			formats[name], formats[urn] = urn, urn
		}
	}
	return formats
}()

// noNamePolicy is the value of nameIDPolicyFormat that leaves the format to the provider.
const noNamePolicy = "none"

// shortFormats returns the short names, sorted.
func shortFormats() []string {
	var short []string
	for name := range nameIDFormats {
		if !strings.Contains(name, ":") {
			short = append(short, name)
		}
	}
	slices.Sort(short)
	return short
}

// checkAddress checks an http or https URL.
func checkAddress(check *settings.Check, key, address string) {
	check.URL(key, address, "https://idp.example.com/saml")
	if u, err := url.Parse(address); err == nil && (u.User != nil || u.Fragment != "") {
		check.Fail(key, "must have neither a user nor a fragment (#) in it")
	}
}

// hasMetadata reports whether the provider's metadata is configured.
func (c *Config) hasMetadata() bool { return c.MetadataURL != "" || c.MetadataFile != "" }

func (c *Config) checkProvider(check *settings.Check) {
	check.Required("ssoURL", c.SSOURL == "" && !c.hasMetadata(),
		"is missing: the provider's address for single sign-on, such as https://idp.example.com/saml/sso, or metadataURL instead")
	for key, address := range map[string]string{"ssoURL": c.SSOURL, "sloURL": c.SLOURL, "redirectURI": c.RedirectURI} {
		checkAddress(check, key, address)
	}
	check.OneOf("binding", c.Binding, bindingPost, bindingRedirect)
	if strings.TrimSpace(c.SSOIssuer) != c.SSOIssuer {
		check.Fail("ssoIssuer", "must not begin or end with white space: issuers are compared letter by letter")
	}
}

func (c *Config) checkCertificates(check *settings.Check) {
	given := c.CA != "" || len(c.CAData) > 0
	if c.InsecureSkipSignatureValidation {
		check.Warn("insecureSkipSignatureValidation", "lets anybody sign in as anybody: use it for trials only")
		if given {
			check.Warn("ca", "has no effect, because insecureSkipSignatureValidation is set")
		}
		return
	}
	check.Required("ca", !given && !c.hasMetadata() && !check.Unread("caData"),
		"is missing: the path of a PEM file with the certificate that the provider signs with; or its content as base64 in caData; "+
			"or metadataURL instead")
	if c.CA != "" && len(c.CAData) > 0 {
		check.Fail("caData", "and ca are both given; give one of them")
		return
	}
	if len(c.CAData) > 0 {
		if _, err := parseCertificates(c.CAData); err != nil {
			check.Fail("caData", "must be base64 of PEM certificates: %v", err)
		}
	}
	if warning := c.expiry(c.CAData); warning != "" {
		check.Warn("caData", "%s", warning)
	}
}

// expiry returns a warning if the provider's certificates expire soon, or have expired. It returns nothing if that doesn't
// matter, or if they can't be read, which is reported elsewhere.
func (c *Config) expiry(content []byte) string {
	all, err := parseCertificates(content)
	if err != nil || slices.Contains(c.InsecureAccept, acceptExpired) {
		return ""
	}
	return all.expiry(time.Now())
}

func (c *Config) checkMetadata(check *settings.Check) {
	if c.MetadataURL != "" && c.MetadataFile != "" {
		check.Fail("metadataFile", "and metadataURL are both given; give one of them")
	}
	checkAddress(check, "metadataURL", c.MetadataURL)
	if c.MetadataURL != "" && c.MetadataSigningCert == "" && !c.InsecureSkipSignatureValidation && !isSafeToFetch(c.MetadataURL) {
		check.Fail("metadataURL", "must begin with https://: anybody who can change the metadata in transit can sign in as anybody; "+
			"or give metadataSigningCert, if the metadata is signed")
	}
	if c.MetadataSigningCert != "" && !c.hasMetadata() {
		check.Fail("metadataSigningCert", "is of no use without metadataURL or metadataFile")
	}
	if len(c.RootCAs) > 0 && c.MetadataURL == "" {
		check.Warn("rootCAs", "is for metadataURL only, which is not given; the provider's certificate belongs in ca")
	}
}

// isSafeToFetch reports whether what is fetched can't be changed in transit: because of TLS, or because it is on the same
// machine.
func isSafeToFetch(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true // reported already
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) checkKeys(check *settings.Check) {
	if (c.SPCert == "") != (c.SPKey == "") {
		check.Fail("spKey", "and spCert belong together: the paths of PEM files with a key and its certificate")
	}
	if c.SignRequests && c.SPKey == "" && c.SPCert == "" {
		check.Fail("signRequests", "needs spCert and spKey: the paths of PEM files with a certificate and its key")
	}
	if c.PreviousKey != "" && c.SPKey == "" {
		check.Fail("previousSPKey", "is the key before spKey, which is not given")
	}
}

func (c *Config) checkIdentity(check *settings.Check) {
	check.Required("usernameAttr", c.UsernameAttr == "", "is missing: the name of the attribute with the user's name, such as uid")
	check.Required("emailAttr", c.EmailAttr == "", "is missing: the name of the attribute with the user's e-mail address, such as mail")
	if c.NameIDPolicyFormat == "" || c.NameIDPolicyFormat == noNamePolicy {
		return
	}
	switch nameIDFormats[c.NameIDPolicyFormat] {
	case "":
		check.Fail("nameIDPolicyFormat", "must be one of %s, or their URNs, or %s to ask for none, not %q",
			strings.Join(shortFormats(), ", "), noNamePolicy, c.NameIDPolicyFormat)
	case nameIDFormats["encrypted"]:
		if c.SPKey == "" {
			check.Fail("nameIDPolicyFormat", "%q needs spCert and spKey, to decrypt the names", c.NameIDPolicyFormat)
		}
	case nameIDFormats["transient"]:
		if c.UserIDAttr == "" {
			check.Warn("nameIDPolicyFormat", "%q makes each login a new user, because the NameID is the user's id; "+
				"set userIDAttr to an attribute that stays the same", c.NameIDPolicyFormat)
		}
	}
}

func (c *Config) checkGroups(check *settings.Check) {
	switch {
	case c.GroupsAttr != "":
	case len(c.AllowedGroups) > 0:
		check.Fail("allowedGroups", "needs groupsAttr, the name of the attribute with the user's groups; without it nobody could log in")
	case c.GroupsDelim != "":
		check.Warn("groupsDelim", "has no effect without groupsAttr")
	}
	for i, group := range c.AllowedGroups {
		if strings.TrimSpace(group) == "" {
			check.Fail(fmt.Sprintf("allowedGroups[%d]", i), "is empty; give the name of a group")
		}
	}
	if c.FilterGroups && len(c.AllowedGroups) == 0 {
		check.Warn("filterGroups", "has no effect without allowedGroups")
	}
}

func (c *Config) checkRules(check *settings.Check) {
	if c.ClockSkew <= 0 || c.ClockSkew > saml.MaxSkew {
		check.Fail("clockSkew", "must be above 0 and at most %v: how far the provider's clock may be off", saml.MaxSkew)
	}
	if c.MaxAge != nil && *c.MaxAge < 0 {
		check.Fail("maxAge", "must not be negative; 0 means no limit")
	}
	if c.AllowSHA1 {
		check.Warn("allowSHA1", "accepts signatures that can be forged with effort; have the provider sign with SHA-256")
	}
	c.checkTolerances(check)
	c.checkContexts(check)
}

func (c *Config) checkContexts(check *settings.Check) {
	for i, class := range c.RequestedContexts {
		if len(contextClasses(class)) != 1 {
			check.Fail(fmt.Sprintf("requestedAuthnContext[%d]", i), "%q is not a URI, such as "+
				"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", class)
		}
	}
	if len(c.RequestedContexts) > maxContexts {
		check.Fail("requestedAuthnContext", "has more than %d classes", maxContexts)
	}
	if c.VerifyContext && len(c.RequestedContexts) == 0 {
		check.Fail("verifyAuthnContext", "needs requestedAuthnContext, one of which the provider must have met")
	}
}
