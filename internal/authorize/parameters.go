package authorize

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/oauth"
)

// unsupported refuses parameters that are given twice, and those that OpenID Connect Core (3.1.2.6) has an error code for.
func unsupported(form url.Values) error {
	for _, name := range single {
		if len(form[name]) > 1 {
			return oauth.Errorf(oauth.InvalidRequest, "The parameter %s is given more than once.", name)
		}
	}
	switch {
	case form.Get("request") != "":
		return oauth.Errorf(oauth.RequestNotSupported, "Request objects are not supported.")
	case form.Get("request_uri") != "":
		return oauth.Errorf(oauth.RequestURINotSupported, "Request objects are not supported.")
	case form.Get("registration") != "":
		return oauth.Errorf(oauth.RegistrationNotSupported, "Self-issued registration is not supported.")
	}
	return nil
}

// readNonce demands a nonce if an ID token comes through the browser, as it could otherwise be one from another login (OpenID
// Connect Core, 3.2.2.1 and 3.3.2.11).
func (req *Request) readNonce() error {
	req.Nonce = req.form.Get("nonce")
	optional := !req.wants(oauth.ResponseIDToken) || req.purpose.cfg.OptionalNonce && req.wants(oauth.ResponseCode)
	if !optional && req.Nonce == "" {
		return oauth.Errorf(oauth.InvalidRequest, "The parameter nonce is required with this response type.")
	}
	return nil
}

// readPrompt reads how the application wants the user to be asked (OpenID Connect Core, 3.1.2.1). Without browser
// sessions nobody can be signed in without being asked; with them, that is the login's to find out.
func (req *Request) readPrompt() error {
	cfg, form := &req.purpose.cfg, req.form
	words := strings.Fields(form.Get("prompt"))
	for _, p := range []string{"none", "login", "consent", "select_account"} { // others are for other providers
		if slices.Contains(words, p) {
			req.Prompt = append(req.Prompt, p)
		}
	}
	if req.silent() && len(req.Prompt) > 1 {
		return oauth.Errorf(oauth.InvalidRequest, "prompt=none goes with no other value.")
	}
	if maxAge := form.Get("max_age"); maxAge != "" {
		seconds, err := strconv.ParseUint(maxAge, 10, 31)
		if err != nil && !cfg.AnyForm {
			return oauth.Errorf(oauth.InvalidRequest, "The parameter max_age must be a number of seconds.")
		}
		if age := time.Duration(seconds) * time.Second; err == nil {
			req.MaxAge = &age
		}
	}
	if req.silent() && !cfg.SilentLoginAsks && !cfg.Sessions {
		return oauth.Errorf(oauth.LoginRequired, "The user must be asked to sign in.")
	}
	req.ForceConsent = slices.Contains(req.Prompt, "consent") || form.Get("approval_prompt") == "force"
	return nil
}

// silent reports whether the user must not be asked anything.
func (req *Request) silent() bool { return slices.Contains(req.Prompt, "none") }

// readHint reads whom the ID token names that the application shows; it may have expired. One that can't be verified, perhaps
// because its key is long gone, says nothing about who may sign in; but nobody passes for its user without being asked.
func (req *Request) readHint(ctx context.Context) error {
	hint := req.form.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	subject, err := req.purpose.cfg.Hints.VerifyHint(hint)
	switch {
	case err == nil:
		req.Subject = subject
	case req.silent():
		return oauth.Errorf(oauth.LoginRequired, "The id_token_hint is not a token of this provider.").Because(err)
	default:
		req.form.Del("id_token_hint") // and don't repeat it
		req.purpose.cfg.Log.InfoContext(ctx, "id_token_hint ignored", "client_id", req.ClientID, "err", err)
	}
	return nil
}
