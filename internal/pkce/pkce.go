// Package pkce is the proof key for code exchange (RFC 7636): an application shows a challenge when it asks for a code, and
// the verifier that the challenge was made from when it redeems the code.
package pkce

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"dex/internal/oauth"
)

// A Challenge is an application's code challenge; zero if it sent none. It is kept with the code that it protects.
type Challenge struct {
	Value  string `json:"value,omitempty"`
	Method string `json:"method,omitempty"`
	// AnyForm is set where challenge and verifier may have any form, as upstream allows.
	AnyForm bool `json:"anyForm,omitempty"`
}

// Rules say which challenges applications must send.
type Rules struct {
	Enforce       bool     // every client must send one
	EnforcePublic bool     // public clients must
	Methods       []string // that may be used
	AnyForm       bool     // take challenges of any form, and ignore a method without a challenge
}

// Read reads the challenge of a client's request (RFC 7636, section 4.3). The error is an *oauth.Error: invalid_request.
func (r *Rules) Read(form map[string][]string, public bool) (Challenge, error) {
	f := oauth.Form(form)
	c := Challenge{Value: f.Get("code_challenge"), Method: f.Get("code_challenge_method"), AnyForm: r.AnyForm}
	switch {
	case c.Value == "" && (r.Enforce || r.EnforcePublic && public):
		return Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The parameter code_challenge is required.")
	case c.Value == "" && c.Method != "" && !r.AnyForm:
		return Challenge{}, oauth.Errorf(oauth.InvalidRequest, "There is a code_challenge_method without a code_challenge.")
	case c.Value == "":
		return Challenge{}, nil
	case c.Method == "":
		c.Method = oauth.ChallengePlain
	}
	if !slices.Contains(r.Methods, c.Method) {
		return Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The code_challenge_method must be one of: %s.",
			strings.Join(r.Methods, ", "))
	}
	if !c.valid() {
		return Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The code_challenge is malformed.")
	}
	return c, nil
}

var (
	// verifierForm is the form of a code verifier, and of a plain challenge (RFC 7636, section 4.1).
	verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	// s256Form is the form of a hashed challenge (section 4.2).
	s256Form = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// valid reports whether any verifier can meet the challenge.
func (c *Challenge) valid() bool {
	if c.AnyForm {
		return !oauth.TooLong("code_challenge", c.Value)
	}
	if c.Method == oauth.ChallengeS256 {
		return s256Form.MatchString(c.Value)
	}
	return verifierForm.MatchString(c.Value)
}

// Check compares a code verifier with the challenge (RFC 7636, section 4.6). The error is an *oauth.Error.
func (c *Challenge) Check(verifier string) error {
	switch {
	case c.Value == "" && verifier == "":
		return nil
	case c.Value == "":
		return oauth.Errorf(oauth.InvalidRequest, "There is a code_verifier, but the authorization request had no code_challenge.")
	case verifier == "":
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier is missing.")
	case !c.AnyForm && !verifierForm.MatchString(verifier):
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier must be 43 to 128 letters, digits, or - . _ ~")
	}
	if c.Method == oauth.ChallengeS256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if subtle.ConstantTimeCompare([]byte(verifier), []byte(c.Value)) != 1 {
		return oauth.Errorf(oauth.InvalidGrant, "The code_verifier does not match.")
	}
	return nil
}
