package relyingparty

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// A BearerError is how a provider refuses a request with an access token (RFC 6750, section 3).
type BearerError struct {
	Status            int
	Code, Description string // empty where the provider does not say
}

// Error implements error.
func (b *BearerError) Error() string {
	text := fmt.Sprintf("the provider answers %d", b.Status)
	if b.Code != "" {
		text += " " + b.Code
	}
	if b.Code != "" || b.Description != "" {
		text += fmt.Sprintf(" %q", b.Description)
	}
	return text
}

// Unknown reports whether the token means nothing to the provider: it has expired or was revoked.
func (b *BearerError) Unknown() bool {
	return b.Status == http.StatusUnauthorized || b.Code == "invalid_token"
}

// Refused reports whether the provider rejects the token, rather than failing itself.
func (b *BearerError) Refused() bool {
	return b.Unknown() || b.Status == http.StatusForbidden || b.Status == http.StatusBadRequest
}

// GoneIfUnknown returns the error of a refresh: connector.ErrGone where the access token means nothing to the provider, which
// another try won't change.
func GoneIfUnknown(err error) error {
	if isUnknown(err) {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
}

// goneIfTooNarrow returns the error of a refresh: connector.ErrGone where the access token lacks a scope that this application
// needs. All applications share what is kept of a user, so another one may have logged the user in last, and asked for less.
func goneIfTooNarrow(err error) error {
	if refused, ok := errors.AsType[*BearerError](err); ok && refused.Code == "insufficient_scope" {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
}

func isUnknown(err error) bool {
	refused, ok := errors.AsType[*BearerError](err)
	return ok && refused.Unknown()
}

// InOurName returns an error of a call that we have made in our own name, so that it isn't taken for one about the user's token.
func InOurName(err error) error {
	if _, ok := errors.AsType[*BearerError](err); !ok {
		return err
	}
	ours := errors.New(err.Error())
	if connector.OutcomeOf(err) == connector.Unavailable {
		return &connector.Temporary{Cause: ours}
	}
	return ours
}

// NotTaken returns the error of an exchange: a *connector.BadToken, in the provider's words, where the provider refuses the token.
func NotTaken(err error) error {
	refused, ok := errors.AsType[*BearerError](err)
	switch {
	case !ok || !refused.Refused() || connector.OutcomeOf(err) != connector.Broken:
		return err
	case refused.Unknown():
		return &connector.BadToken{Reason: "the provider knows nobody for it; it may have expired", Cause: err}
	}
	return &connector.BadToken{Reason: "the provider does not take it: " + refused.Error(), Cause: err}
}

// challengeParam finds the parameters of a challenge (RFC 9110, section 11.2).
var challengeParam = regexp.MustCompile(`([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))`)

// longest bounds what is quoted from a provider, in characters.
const longest = 200

// ReadBearerError reads a refusal: its challenge or, where that says nothing, its body.
func ReadBearerError(answer *outbound.Answer) *BearerError {
	e := &BearerError{Status: answer.Status}
	for _, challenge := range answer.Header.Values("WWW-Authenticate") {
		for _, param := range challengeParam.FindAllStringSubmatch(challenge, -1) {
			switch value := short(param[2] + param[3]); strings.ToLower(param[1]) {
			case "error":
				e.Code = value
			case "error_description":
				e.Description = value
			}
		}
	}
	if e.Code == "" {
		e.Code, e.Description = readReason(answer.Body)
	}
	return e
}

// readReason reads why an API refuses a call, from one of the usual forms of JSON: an error with a description (RFC 6749), an error
// that is an object with a code and a message (Google, Microsoft, Bitbucket), or just a message (GitHub, GitLab, Gitea). Both are
// empty for anything else, such as a proxy's page: then the status says enough.
func readReason(body []byte) (code, description string) {
	var said struct {
		Error       json.RawMessage `json:"error"`
		Description string          `json:"error_description"`
		Message     any             `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "", ""
	}
	if message, ok := said.Message.(string); ok {
		description = message
	}
	if said.Description != "" {
		description = said.Description
	}
	var inner struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
	}
	switch {
	case json.Unmarshal(said.Error, &code) == nil:
	case json.Unmarshal(said.Error, &inner) == nil:
		code, _ = inner.Code.(string)
		description = inner.Message
	}
	return short(code), short(description)
}

// short returns the beginning of a text.
func short(text string) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}
