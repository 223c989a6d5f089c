package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/oauth"
)

// credentials are what a request presents, form-decoded and raw.
type credentials struct {
	id, secret       string
	rawID, rawSecret string // as written, before form decoding; only from a Basic header
	basic            bool
}

// Authenticate returns the client that sends a request, whose form has been parsed: by HTTP Basic, or by client_id and
// client_secret in the body (RFC 6749, section 2.3.1). Its error is an *oauth.Error: invalid_client, invalid_request if
// both ways are used and differ, temporarily_unavailable with status 429 after too many wrong secrets, or server_error if
// the storage failed.
func (r *Registry) Authenticate(req *http.Request, events event.Sink) (*Client, error) {
	cred, err := readCredentials(req)
	if err != nil {
		return nil, err
	}
	c, err := r.byCredentials(req.Context(), cred)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.").Because(err)
	case err != nil:
		return nil, limit.Refusal(err)
	}
	which, err := r.tryLimited(req.Context(), c, cred)
	if err != nil {
		return nil, limit.Refusal(err)
	}
	switch which {
	case matchedCurrent:
		return c, nil
	case matchedPrevious:
		events.Emit(req.Context(), event.PreviousSecretUsed{ClientID: c.ID})
		return c, nil
	case matchedNone:
	}
	events.Emit(req.Context(), event.ClientRefused{ClientID: c.ID, Reason: reason(c, cred)})
	return nil, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.")
}

// reason says why credentials without the right secret are refused.
func reason(c *Client, cred credentials) event.ClientReason {
	switch {
	case c.Secret == "" && !c.Public:
		return event.NoSecretStored
	case cred.secret == "":
		return event.SecretMissing
	}
	return event.SecretWrong
}

// tryLimited says which of the client's secrets was presented, unless there were too many wrong ones. Its error comes from
// the limit or the storage.
//
// Anyone who shares an address with a client, as everyone does behind an untrusted proxy, can use up its attempts. If the
// right secret still passed then, guessers would learn which it is; if it didn't, they could lock the client out. So a
// secret that can't be guessed passes, and a short one has to wait. Without a secret on either side nobody is guessing.
func (r *Registry) tryLimited(ctx context.Context, c *Client, cred credentials) (matched, error) {
	if c.Secret == "" || cred.secret == "" {
		return r.whichSecret(ctx, c, cred)
	}
	if c.unguessable() {
		which, err := r.whichSecret(ctx, c, cred)
		if which == matchedNone && err == nil {
			err = r.limits.WrongSecret(ctx, c.ID)
		}
		return which, err
	}
	try, err := r.limits.Secret(ctx, c.ID)
	if err != nil {
		return matchedNone, err
	}
	defer try.End()
	which, err := r.whichSecret(ctx, c, cred)
	if which == matchedNone && err == nil {
		try.Failed()
	}
	return which, err
}

func (r *Registry) whichSecret(ctx context.Context, c *Client, cred credentials) (matched, error) {
	which, err := r.secrets.match(ctx, c, cred.secret)
	if which != matchedNone || err != nil || !cred.basic || cred.rawSecret == cred.secret {
		return which, err
	}
	return r.secrets.match(ctx, c, cred.rawSecret)
}

func (r *Registry) byCredentials(ctx context.Context, cred credentials) (*Client, error) {
	c, err := r.Find(ctx, cred.id)
	if errors.Is(err, ErrUnknown) && cred.basic && cred.rawID != cred.id {
		return r.Find(ctx, cred.rawID)
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
	// Some libraries send the same credentials in the body as well, which RFC 6749 (2.3) counts as one way.
	sameID := formID == "" || formID == cred.id || formID == cred.rawID
	sameSecret := formSecret == "" || formSecret == cred.secret || formSecret == cred.rawSecret
	if !sameID || !sameSecret {
		return credentials{}, oauth.Errorf(oauth.InvalidRequest,
			"The Authorization header and the body authenticate the client by different credentials.")
	}
	return cred, nil
}

// formDecode undoes the form encoding that RFC 6749 (2.3.1) requires inside Basic. Many clients don't encode, so a value
// that doesn't decode is taken as it is.
func formDecode(s string) string {
	decoded, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return decoded
}
