package oauth

import (
	"net/url"
	"strings"
)

// WithQuery adds parameters to an application's address. The address stays as it is registered, to the letter: what the application put
// into its query is its own (RFC 6749, section 3.1.2). Some have a fragment, though none should.
func WithQuery(address string, params url.Values) string {
	uri, fragment, hasFragment := strings.Cut(address, "#")
	uri += separator(uri) + params.Encode()
	if hasFragment {
		uri += "#" + fragment
	}
	return uri
}

// separator returns what comes between a URI without fragment and more of a query.
func separator(uri string) string {
	_, query, hasQuery := strings.Cut(uri, "?")
	switch {
	case !hasQuery:
		return "?"
	case query == "" || strings.HasSuffix(query, "&"):
		return ""
	}
	return "&"
}
