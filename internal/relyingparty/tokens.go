package relyingparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// Tokens is the answer of a provider's token endpoint.
type Tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	// Expiry is when the access token ends; zero where the provider doesn't say, and then it may never.
	Expiry time.Time `json:"-"`
	// Said is what the ID token says, once it is verified; nil before, and where there is none.
	Said Claims `json:"-"`
}

// A Refusal is an answer of the provider that is an error (RFC 6749, section 5.2), or that can't be used.
type Refusal struct {
	Status      int    `json:"-"`
	Code        string `json:"error"` // empty where there is none that can be read
	Description string `json:"error_description"`
}

// Error implements error.
func (r *Refusal) Error() string {
	return fmt.Sprintf("the provider answers %d %s %q", r.Status, short(r.Code), short(r.Description))
}

// classified returns the refusal as the error that decides its outcome: an overloaded provider says so by its status or its
// code.
func (r *Refusal) classified() error {
	if slices.Contains([]string{"temporarily_unavailable", "server_error", "slow_down"}, r.Code) {
		return &connector.Temporary{Cause: r}
	}
	return connector.FromStatus(r.Status, r)
}

// readRefusal reads an answer other than the one wanted.
func readRefusal(answer *outbound.Answer) *Refusal {
	var r Refusal
	_ = json.Unmarshal(answer.Body, &r) // of a proxy, perhaps: then the status says enough
	r.Status = answer.Status
	return &r
}

// RefusalCode returns the code of a provider's refusal; empty for other errors.
func RefusalCode(err error) string {
	if refused, ok := errors.AsType[*Refusal](err); ok {
		return refused.Code
	}
	return ""
}

// Ask makes a request to a token endpoint. Its error may be a *Refusal.
func (c *Client) Ask(ctx context.Context, at Endpoint, params url.Values) (*Tokens, error) {
	if at.URL == "" {
		return nil, errors.New("token request: the provider has no token endpoint")
	}
	var given *Tokens
	err := c.eitherWay(at.Methods, func(method string) error {
		answer, err := c.post(ctx, at.URL, at.URL, method, params)
		if err != nil {
			return err
		}
		given, err = ReadTokens(answer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	return given, nil
}

// Push leaves the parameters of an authorization request with the provider, and returns the name under which it finds them
// (RFC 9126). Assertions are made for the token endpoint.
func (c *Client) Push(
	ctx context.Context, at Endpoint, tokenEndpoint string, params url.Values,
) (requestURI string, err error) {
	err = c.eitherWay(at.Methods, func(method string) error {
		answer, err := c.post(ctx, at.URL, tokenEndpoint, method, params)
		if err != nil {
			return err
		}
		var pushed struct {
			RequestURI string `json:"request_uri"`
		}
		err = json.Unmarshal(answer.Body, &pushed)
		if err != nil || answer.Status != http.StatusCreated || pushed.RequestURI == "" {
			return readRefusal(answer)
		}
		requestURI = pushed.RequestURI
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("pushed authorization request: %w", err)
	}
	return requestURI, nil
}

// codeError returns what an error of a token request with a code is. A code that is refused is not the provider's fault, nor
// ours: the browser has brought an old one, or somebody has made it up. GitHub has codes of its own.
func codeError(err error) error {
	switch RefusalCode(err) {
	case "invalid_grant", "bad_verification_code":
		return &connector.BadToken{Reason: "the provider refuses the code that the browser has brought", Cause: err}
	case "unverified_user_email":
		return &connector.Unusable{Reason: "Verify your primary e-mail address at the provider first.", Claim: "email", Cause: err}
	}
	return err
}

// comeBack are the codes by which token endpoints say that the user has to sign in again: of RFC 6749 (5.2), RFC 6750 (3.1),
// OpenID Connect Core (3.1.2.6), and of GitHub and Keycloak.
var comeBack = []string{
	"invalid_grant", "unauthorized_client", "access_denied", "invalid_token", "expired_token",
	"interaction_required", "login_required", "account_selection_required", "consent_required",
	"bad_refresh_token", "invalid_refresh_token", "not_allowed",
}

// refreshError returns what an error of a token request with a refresh token is: ErrGone where the user has to sign in again.
func refreshError(err error) error {
	refused, ok := errors.AsType[*Refusal](err)
	if !ok || connector.OutcomeOf(err) == connector.Unavailable {
		return err
	}
	about := strings.ToLower(refused.Description)
	if slices.Contains(comeBack, refused.Code) ||
		refused.Code == "invalid_request" && strings.Contains(about, "refresh") && strings.Contains(about, "token") {
		return fmt.Errorf("%w: %w", connector.ErrGone, err)
	}
	return err
}

// longestLife is more than any token lives, in seconds.
const longestLife = 1 << 31

// expiry returns when a token ends that lives for a number of seconds; zero if that is no positive number.
func expiry(seconds string) time.Time {
	life, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(life >= 1) { // NaN is neither
		return time.Time{}
	}
	return time.Now().Add(time.Duration(min(life, longestLife)) * time.Second)
}

// ReadTokens reads the answer of a token endpoint, in JSON or as a form, as old providers have it. Its error may be a *Refusal.
func ReadTokens(answer *outbound.Answer) (*Tokens, error) {
	var t Tokens
	e := &Refusal{}
	if kind := answer.MediaType(); kind == "application/x-www-form-urlencoded" || kind == "text/plain" {
		form, err := url.ParseQuery(string(answer.Body))
		if err != nil {
			return nil, &Refusal{Status: answer.Status, Description: "the answer is no form"}
		}
		t = Tokens{
			Access: form.Get("access_token"), Type: form.Get("token_type"), Refresh: form.Get("refresh_token"), ID: form.Get("id_token"),
			Expiry: expiry(form.Get("expires_in")),
		}
		e = &Refusal{Code: form.Get("error"), Description: form.Get("error_description")}
	} else {
		e = readRefusal(answer)
		if err := json.Unmarshal(answer.Body, &t); err != nil && e.Code == "" && e.Description == "" {
			t, e.Description = Tokens{}, "the answer can't be read"
		}
		var life struct {
			Seconds json.RawMessage `json:"expires_in"`
		}
		_ = json.Unmarshal(answer.Body, &life) // was read once already
		t.Expiry = expiry(strings.Trim(string(life.Seconds), `"`))
	}
	e.Status = answer.Status
	switch {
	case e.Status < http.StatusOK || e.Status >= http.StatusMultipleChoices || e.Code != "":
		return nil, e
	case t.Access == "":
		if e.Description == "" {
			e.Description = "the answer has no access_token"
		}
		return nil, e
	}
	return &t, nil
}
