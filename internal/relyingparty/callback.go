package relyingparty

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/connector"
	"dex/internal/oauth"
)

// A Callback is where a provider sends the browser back.
type Callback struct {
	url string
	err error // why nobody can come back; nil if they can
}

// NewCallback returns the callback that the setting redirectURI names: the address of all connectors, or the connector's own.
// Nobody can come back to any other, which the log and each login say.
func NewCallback(ctx context.Context, redirectURI string, env connector.Env) Callback {
	address, ours := env.ReturnURL(redirectURI)
	if ours {
		return Callback{url: address}
	}
	err := fmt.Errorf("redirectURI is %q, and must be %q or %q", redirectURI, env.OwnCallbackURL, env.CallbackURL)
	env.Log.WarnContext(ctx, "nobody can log in", "err", err)
	return Callback{err: err}
}

// URL returns the address, or why nobody can come back.
func (c Callback) URL() (string, error) { return c.url, c.err }

// Check refuses an answer that came to another address than the connector's: it is another provider's (RFC 9700, section
// 4.4.2.2).
func (c Callback) Check(r connector.Return) error {
	if c.err == nil && r.CallbackURL == c.url {
		return nil
	}
	return otherProvider(fmt.Errorf("the browser came back to %s, not to %s", r.CallbackURL, c.url))
}

func otherProvider(cause error) error {
	return &connector.BadToken{Reason: "the answer is another provider's", Cause: cause}
}

// denials are errors by which providers say that the user did not want to, or must do something first (RFC 6749, section
// 4.1.2.1, OpenID Connect Core, section 3.1.2.6, and OpenID Connect Core Error Code unmet_authentication_requirements).
var denials = map[string]string{
	oauth.AccessDenied:                    "The login was cancelled, or the provider doesn't let you in.",
	oauth.LoginRequired:                   "The provider asks you to log in there first.",
	oauth.InteractionRequired:             "The provider asks you to log in there first.",
	oauth.AccountSelectionRequired:        "The provider asks you to choose an account there first.",
	oauth.ConsentRequired:                 "The provider asks for your consent.",
	oauth.UnmetAuthenticationRequirements: "The provider can't log you in as securely as the application asks for.",
}

// cancelled are codes by which LinkedIn says that the user did not sign in, or did not agree.
var cancelled = []string{"user_cancelled_login", "user_cancelled_authorize"}

// Answer returns the parameters that a provider sends with the browser.
func Answer(r *http.Request) url.Values {
	if r.Method == http.MethodPost {
		return r.PostForm
	}
	return r.URL.Query()
}

// CheckAnswer returns the error that an answer has: a *connector.Denied where the user did not want to, a *connector.Again where
// the provider wants to be asked once more, as Keycloak does after its login page was left open for too long, and a
// *connector.BadToken where there is no code either.
func CheckAnswer(answer url.Values) error {
	code := answer.Get("error")
	switch {
	case code == "" && answer.Get("code") == "":
		return &connector.BadToken{Reason: "the provider's answer has no code"}
	case code == "":
		return nil
	}
	cause := fmt.Errorf("the provider answers %q %q", short(code), short(answer.Get("error_description")))
	if reason, ok := denials[code]; ok {
		return &connector.Denied{Reason: reason, Cause: cause, ByUser: true, Code: code}
	}
	if slices.Contains(cancelled, code) { // which means nothing to applications
		return &connector.Denied{Reason: denials[oauth.AccessDenied], Cause: cause, ByUser: true}
	}
	switch code {
	case oauth.TemporarilyUnavailable:
		return &connector.Again{Cause: &connector.Temporary{Cause: cause}}
	case oauth.ServerError: // it would be a status 500 if a redirect could have one (RFC 6749, section 4.1.2.1)
		return &connector.Temporary{Cause: cause}
	}
	return cause
}
