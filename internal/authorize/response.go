package authorize

import (
	"net/url"
	"slices"
	"strings"

	"dex/internal/oauth"
)

// responseWords are the words of response types, in the order in which they are written.
var responseWords = []string{oauth.ResponseCode, oauth.ResponseIDToken, oauth.ResponseToken}

// readMode finds out how the application is to be answered. That comes first, as errors take the same way (OAuth 2.0 Multiple
// Response Type Encoding Practices, section 2.1). The mode can be used even if there is an error.
func (p *Purpose) readMode(form url.Values) (string, error) {
	words := strings.Fields(form.Get("response_type"))
	tokens := slices.Contains(words, oauth.ResponseToken) || slices.Contains(words, oauth.ResponseIDToken)
	usual := oauth.ModeQuery
	if tokens {
		usual = oauth.ModeFragment
	}
	switch mode := form.Get("response_mode"); mode {
	case "":
		return usual, nil
	case oauth.ModeQuery:
		if tokens {
			// A query gets passed on to others, and ends up in logs and histories.
			return usual, oauth.Errorf(oauth.InvalidRequest, "Tokens are not sent in a query; response_mode must be another one.")
		}
		return mode, nil
	case oauth.ModeFragment, oauth.ModeFormPost:
		return mode, nil
	}
	if p.cfg.AnyForm {
		return usual, nil
	}
	return usual, oauth.Errorf(oauth.InvalidRequest, "The response_mode must be query, fragment or form_post.")
}

// readResponseType reads what the application wants (OpenID Connect Core, section 3).
func (req *Request) readResponseType() error {
	words := strings.Fields(req.form.Get("response_type"))
	if len(words) == 0 {
		return oauth.Errorf(oauth.InvalidRequest, "The parameter response_type is missing.")
	}
	for _, word := range words {
		if !slices.Contains(responseWords, word) {
			return oauth.Errorf(oauth.UnsupportedResponseType, "The response types are made of code, id_token and token.")
		}
	}
	for _, word := range responseWords {
		if slices.Contains(words, word) {
			req.ResponseTypes = append(req.ResponseTypes, word)
		}
	}
	if !req.purpose.servesResponse(req.ResponseTypes) {
		return oauth.Errorf(oauth.UnsupportedResponseType, "This response type is not served here.")
	}
	if req.RedirectURI == oauth.RedirectOutOfBand && !slices.Equal(req.ResponseTypes, []string{oauth.ResponseCode}) {
		return oauth.Errorf(oauth.InvalidRequest, "Only a code can be shown instead of being sent.")
	}
	return nil
}

// servesResponse reports whether the configuration allows the words together: each alone, or just this combination. An access
// token is never given alone, as nothing would say whom it is for (RFC 9700, section 2.1.2).
func (p *Purpose) servesResponse(words []string) bool {
	if slices.Equal(words, []string{oauth.ResponseToken}) {
		return false
	}
	single := func(word string) bool { return slices.Contains(p.cfg.ResponseTypes, word) }
	if !slices.ContainsFunc(words, func(word string) bool { return !single(word) }) {
		return true
	}
	return slices.ContainsFunc(p.cfg.ResponseTypes, func(configured string) bool {
		combination := strings.Fields(configured)
		slices.Sort(combination)
		return slices.Equal(combination, slices.Sorted(slices.Values(words)))
	})
}

// ResponseTypes returns the response types that are served, sorted.
func (p *Purpose) ResponseTypes() []string {
	served := []string{}
	for choice := 1; choice < 1<<len(responseWords); choice++ {
		var words []string
		for i, word := range responseWords {
			if choice&(1<<i) != 0 {
				words = append(words, word)
			}
		}
		if p.servesResponse(words) && !slices.ContainsFunc(words, func(word string) bool { return !p.servesGrant(word) }) {
			served = append(served, strings.Join(words, " "))
		}
	}
	slices.Sort(served)
	return served
}

// checkServed refuses a request that takes a grant which this server does not serve.
func (req *Request) checkServed() error {
	for _, word := range req.ResponseTypes {
		if !req.purpose.servesGrant(word) {
			return oauth.Errorf(oauth.UnsupportedResponseType, "The grant type %s is not served here.", grantOf(word))
		}
	}
	return nil
}

// servesGrant reports whether this server serves the grant that a word of a response type stands for.
func (p *Purpose) servesGrant(word string) bool {
	return p.cfg.OnlyGrants == nil || slices.Contains(p.cfg.OnlyGrants, grantOf(word))
}

// grantOf returns the grant that a word of a response type stands for.
func grantOf(word string) string {
	if word == oauth.ResponseCode {
		return oauth.GrantAuthorizationCode
	}
	return oauth.GrantImplicit
}

// wants reports whether a word is part of the request's response type.
func (req *Request) wants(word string) bool { return slices.Contains(req.ResponseTypes, word) }
