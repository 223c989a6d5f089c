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
	if b.Code == "" {
		return fmt.Sprintf("the provider answers %d", b.Status)
	}
	return fmt.Sprintf("the provider answers %d %s %q", b.Status, b.Code, b.Description)
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
	if refused, ok := errors.AsType[*BearerError](err); ok && refused.Unknown() {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
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
		var body struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(answer.Body, &body) // of a proxy, perhaps: then the status says enough
		e.Code, e.Description = short(body.Code), short(body.Description)
	}
	return e
}

// short returns the beginning of a text.
func short(text string) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}
