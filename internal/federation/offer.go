package federation

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/language"

	"dex/internal/config"
	"dex/internal/connector"
)

// checkOffer reports mistakes in how the login page is to offer the connector.
func (d *Definition) checkOffer(on *config.Checker, key string) {
	for i, written := range d.Domains {
		if _, domain := readDomain(written); domain == "" {
			on.Errorf(config.Item(key+".domains", i), "%q must be a domain such as example.com, or *.example.com for all below it", written)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(d.Names)) {
		if _, err := language.Parse(tag); err != nil {
			on.Errorf(key+".names."+tag, "%q must be the tag of a language, such as de or pt-BR", tag)
		}
	}
	if d.LogoURL != "" && !isLogo(d.LogoURL) {
		on.Errorf(key+".logoURL", "%q must be a file below static/ or theme/, or an https URL", d.LogoURL)
	}
}

// isLogo reports whether a logo is a file of the pages, or an image elsewhere. Whether browsers may load it is the pages' to say.
func isLogo(link string) bool {
	u, err := url.Parse(link)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "":
		file := strings.TrimPrefix(u.Path, "/")
		return u.Host == "" && (strings.HasPrefix(file, "static/") || strings.HasPrefix(file, "theme/"))
	}
	return false
}

// AsksPassword reports whether users of the connector begin with our form for a name and a password.
func (d *Definition) AsksPassword() bool {
	c, ok := d.Config.(connector.PasswordForm)
	return ok && c.AsksPassword()
}

// NameIn returns the name that users see in a language: the one for its tag, or for the language without its region.
func (d *Definition) NameIn(tag string) string {
	base, _, _ := strings.Cut(tag, "-")
	for _, wanted := range []string{tag, base} {
		for written, name := range d.Names {
			if strings.EqualFold(written, wanted) && name != "" {
				return name
			}
		}
	}
	return d.Name
}

// longestDomain is how long a domain may be (RFC 1035, section 2.3.4), in bytes.
const longestDomain = 253

// DomainOf returns the domain of an e-mail address in the form in which domains are compared; empty if that is no address.
func DomainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return ""
	}
	return foldDomain(address[at+1:])
}

// foldDomain returns a domain in lower case and in ASCII (RFC 5891, section 5); empty if that is none.
func foldDomain(domain string) string {
	domain = strings.TrimSuffix(strings.TrimSpace(domain), ".")
	if domain == "" || len(domain) > longestDomain {
		return ""
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || len(ascii) > longestDomain {
		return ""
	}
	return ascii
}

// readDomain reads a domain as it is configured: all domains below it where it begins with an asterisk.
func readDomain(written string) (below bool, domain string) {
	rest, below := strings.CutPrefix(written, "*.")
	return below, foldDomain(rest)
}

// ForDomain returns which of some connectors addresses of a domain, as DomainOf returns it, lead to; -1 for none. A domain that is
// written out comes before one with an asterisk, a longer one of these before a shorter one, and then the connector that comes
// first.
func ForDomain(connectors []*Definition, domain string) int {
	found, best := -1, 0
	if domain == "" {
		return found
	}
	for i, d := range connectors {
		for _, written := range d.Domains {
			if fit := fits(written, domain); fit > best {
				found, best = i, fit
			}
		}
	}
	return found
}

// fits returns how closely a configured domain fits another one; 0 if it doesn't.
func fits(written, domain string) int {
	below, own := readDomain(written)
	switch {
	case own == "":
		return 0
	case !below && own == domain:
		return longestDomain + 1
	case below && strings.HasSuffix(domain, "."+own):
		return len(own)
	}
	return 0
}
