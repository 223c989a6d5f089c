package saml

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/saml"
)

// asked is what the provider was asked for, to be checked in its answer: the request passes through the user's own browser,
// and the user can remove it there.
type asked struct {
	// Since is the time before which an authentication is too old; zero if any will do.
	Since time.Time `json:"since,omitzero"`
	// Contexts are the classes of authentication, one of which must have been used; nil for any.
	Contexts []string `json:"contexts,omitempty"`
}

// asked returns what must be checked in the answer to a request.
func (s *source) asked(r connector.LoginRequest, now time.Time) asked {
	var a asked
	if s.mustAuthenticate(r) {
		a.Since = now.UTC().Truncate(time.Second)
	}
	if s.config.VerifyContext {
		a.Contexts = s.wantedContexts(r)
	}
	return a
}

// encode returns what is kept with the login; nil if there is nothing to check.
func (a asked) encode() ([]byte, error) {
	if a.Since.IsZero() && a.Contexts == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode what was asked: %w", err)
	}
	return encoded, nil
}

func readAsked(encoded []byte) (asked, error) {
	var a asked
	if len(encoded) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(encoded, &a); err != nil {
		return a, fmt.Errorf("read what was asked: %w", err)
	}
	return a, nil
}

// check fails if the provider has not done what it was asked for.
func (a asked) check(answer *saml.Assertion, skew time.Duration) error {
	if !a.Since.IsZero() && answer.AuthnInstant.Before(a.Since.Add(-skew)) {
		return errors.New("the provider did not have the user authenticate again, although it was asked to (ForceAuthn)")
	}
	if a.Contexts != nil && !slices.Contains(a.Contexts, answer.AuthnContext) {
		return &connector.Denied{
			Reason: "The identity provider didn't log you in the way that is required here.",
			Cause: fmt.Errorf("the provider was asked for one of %q (RequestedAuthnContext) and says that it did %q",
				a.Contexts, answer.AuthnContext),
		}
	}
	return nil
}
