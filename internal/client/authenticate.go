package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"dex/internal/oauth"
)

// credentials are what a request presents; the forms are alternatives of the same thing.
type credentials struct {
	id, secret       string
	rawID, rawSecret string // as written, before form decoding; only from a Basic header
	basic            bool
}

// Authenticate finds out which client sends a request whose form has been parsed, by HTTP Basic or by client_id and
// client_secret in the body (RFC 6749, section 2.3.1). Its error is an *oauth.Error: invalid_client, invalid_request when
// the client uses both ways at once, or server_error when the storage failed.
func (r *Registry) Authenticate(req *http.Request, log *slog.Logger) (*Client, error) {
	cred, err := readCredentials(req)
	if err != nil {
		return nil, err
	}
	c, err := r.byCredentials(req.Context(), cred)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.").Because(err)
	case err != nil:
		return nil, oauth.Errorf(oauth.ServerError, "").Because(err)
	}
	which, err := r.whichSecret(req.Context(), c, cred)
	if err != nil {
		return nil, oauth.Errorf(oauth.ServerError, "").Because(err)
	}
	switch {
	case which == matchedPrevious:
		log.WarnContext(req.Context(), "client still uses its previous secret", "client_id", c.ID)
		return c, nil
	case which == matchedCurrent:
		return c, nil
	case c.Secret == "" && !c.Public:
		log.ErrorContext(req.Context(), "stored client has no secret and is not public", "client_id", c.ID)
	case cred.secret == "":
		log.InfoContext(req.Context(), "missing client_secret on token request", "client_id", c.ID)
	default:
		log.InfoContext(req.Context(), "invalid client_secret on token request", "client_id", c.ID)
	}
	return nil, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.")
}

func (r *Registry) whichSecret(ctx context.Context, c *Client, cred credentials) (matched, error) {
	which, err := r.secrets.match(ctx, c, cred.secret)
	if which != matchedNone || err != nil || !cred.basic || cred.rawSecret == cred.secret {
		return which, err
	}
	return r.secrets.match(ctx, c, cred.rawSecret)
}

func (r *Registry) byCredentials(ctx context.Context, cred credentials) (*Client, error) {
	c, err := r.Get(ctx, cred.id)
	if errors.Is(err, ErrUnknown) && cred.basic {
		return r.Get(ctx, cred.rawID)
	}
	return c, err
}

func readCredentials(req *http.Request) (credentials, error) {
	formID, formSecret := req.PostForm.Get("client_id"), req.PostForm.Get("client_secret")
	user, password, ok := req.BasicAuth()
	if !ok {
		return credentials{id: formID, secret: formSecret}, nil
	}
	cred := credentials{id: formDecode(user), secret: formDecode(password), rawID: user, rawSecret: password, basic: true}
	if formSecret != "" || formID != "" && formID != cred.id && formID != cred.rawID {
		return credentials{}, oauth.Errorf(oauth.InvalidRequest,
			"The request authenticates the client both by the Authorization header and in the body.")
	}
	return cred, nil
}

// formDecode undoes the form encoding that RFC 6749 (2.3.1) prescribes below Basic. Many clients leave it out, so what
// does not decode is taken as it is.
func formDecode(s string) string {
	decoded, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return decoded
}
