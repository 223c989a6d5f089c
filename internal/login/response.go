package login

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// responseWords are the words of response types, in the order in which they are written.
var responseWords = []string{oauth.ResponseCode, oauth.ResponseIDToken, oauth.ResponseToken}

// readMode finds out how the application is to be answered, before anything else is checked: errors take the same way
// (OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1). The way is good even if there is an error.
func (f *Flow) readMode(form url.Values) (string, error) {
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
			// A query is sent on to others, and ends up in logs and histories.
			return usual, oauth.Errorf(oauth.InvalidRequest, "Tokens are not sent in a query; response_mode must be another one.")
		}
		return mode, nil
	case oauth.ModeFragment, oauth.ModeFormPost:
		return mode, nil
	}
	if f.cfg.AnyForm {
		return usual, nil
	}
	return usual, oauth.Errorf(oauth.InvalidRequest, "The response_mode must be query, fragment or form_post.")
}

// checkResponseType reads what the application wants to be answered (OpenID Connect Core, section 3).
func (f *Flow) checkResponseType(form url.Values, req *request) error {
	words := strings.Fields(form.Get("response_type"))
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
	if !f.servesResponse(req.ResponseTypes) {
		return oauth.Errorf(oauth.UnsupportedResponseType, "This response type is not served here.")
	}
	if req.RedirectURI == oauth.RedirectOutOfBand && !slices.Equal(req.ResponseTypes, []string{oauth.ResponseCode}) {
		return oauth.Errorf(oauth.InvalidRequest, "Only a code can be shown instead of being sent.")
	}
	return nil
}

// servesResponse reports whether the configuration allows the words together: each alone, or just this combination. An
// access token without anything that says whom it is for is never given (RFC 9700, section 2.1.2).
func (f *Flow) servesResponse(words []string) bool {
	if slices.Equal(words, []string{oauth.ResponseToken}) {
		return false
	}
	single := func(word string) bool { return slices.Contains(f.cfg.ResponseTypes, word) }
	if !slices.ContainsFunc(words, func(word string) bool { return !single(word) }) {
		return true
	}
	return slices.ContainsFunc(f.cfg.ResponseTypes, func(configured string) bool {
		combination := strings.Fields(configured)
		slices.Sort(combination)
		return slices.Equal(combination, slices.Sorted(slices.Values(words)))
	})
}

// ResponseTypes returns the response types that are served, sorted.
func (f *Flow) ResponseTypes() []string {
	served := []string{}
	for choice := 1; choice < 1<<len(responseWords); choice++ {
		var words []string
		for i, word := range responseWords {
			if choice&(1<<i) != 0 {
				words = append(words, word)
			}
		}
		if f.servesResponse(words) && !slices.ContainsFunc(words, func(word string) bool { return !f.servesGrant(word) }) {
			served = append(served, strings.Join(words, " "))
		}
	}
	slices.Sort(served)
	return served
}

// checkGrants holds the application to the grants that it, and this server, may use.
func (f *Flow) checkGrants(req *request) error {
	for _, word := range req.ResponseTypes {
		if !f.servesGrant(word) {
			return oauth.Errorf(oauth.UnsupportedResponseType, "The grant type %s is not served here.", grantOf(word))
		}
		if err := f.cfg.Policy.Grant(req.client, grantOf(word)); err != nil {
			return err
		}
	}
	return nil
}

// servesGrant reports whether this server serves the grant that a word of a response type stands for.
func (f *Flow) servesGrant(word string) bool {
	return f.cfg.OnlyGrants == nil || slices.Contains(f.cfg.OnlyGrants, grantOf(word))
}

// grantOf returns the grant that a word of a response type stands for.
func grantOf(word string) string {
	if word == oauth.ResponseCode {
		return oauth.GrantAuthorizationCode
	}
	return oauth.GrantImplicit
}

// wants reports whether a word is part of the request's response type.
func (req *request) wants(word string) bool { return slices.Contains(req.ResponseTypes, word) }

// answerError tells the application what went wrong (RFC 6749, section 4.1.2.1).
func (f *Flow) answerError(w http.ResponseWriter, r *http.Request, e *answerError) {
	if e.req.ID != "" {
		f.requests.forget(w, r, e.req.ID)
	}
	f.answer(w, r, e.req, errorParams(e.err))
}

func errorParams(e *oauth.Error) url.Values {
	params := url.Values{"error": {e.Code}}
	if d := e.PublicDescription(); d != "" {
		params.Set("error_description", d)
	}
	return params
}

// answer sends the browser back to the application.
func (f *Flow) answer(w http.ResponseWriter, r *http.Request, req *request, params url.Values) {
	f.send(w, r, f.reply(req, params))
}

func (f *Flow) send(w http.ResponseWriter, r *http.Request, back ui.FormPostPage) {
	w.Header().Set("Cache-Control", "no-store")
	if back.Fields != nil {
		f.page.FormPost(w, r, back)
		return
	}
	http.Redirect(w, r, back.URL, http.StatusSeeOther)
}

// reply returns the way back to the application, whose redirect URI has been checked, with our name on the answer (RFC
// 9207) so that it can't be taken for another provider's. It has fields where it must be posted.
func (f *Flow) reply(req *request, params url.Values) ui.FormPostPage {
	if req.State != "" {
		params.Set("state", req.State)
	}
	if !f.cfg.NoIssuer {
		params.Set("iss", f.cfg.Issuer)
	}
	if req.Mode == oauth.ModeFormPost {
		return ui.FormPostPage{URL: req.RedirectURI, Fields: page.Fields(params)}
	}
	// The URI stays as it is registered, to the letter: what the application put into its query is its own (RFC 6749, section
	// 3.1.2). Some have a fragment, though none should.
	uri, fragment, hasFragment := strings.Cut(req.RedirectURI, "#")
	if req.Mode == oauth.ModeFragment {
		return ui.FormPostPage{URL: uri + "#" + params.Encode()}
	}
	uri += separator(uri) + params.Encode()
	if hasFragment {
		uri += "#" + fragment
	}
	return ui.FormPostPage{URL: uri}
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
