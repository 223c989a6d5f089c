package authorize

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/event"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/token"
	"dex/internal/ui"
)

// Check refuses grants that are no longer served, and shows a page if the client's redirect URI is no longer registered.
func (req *Request) Check(c *client.Client) error {
	if !c.AllowsRedirect(req.RedirectURI, req.purpose.cfg.Redirects) {
		return page.Errorf(http.StatusBadRequest,
			"The address that the application wants you sent back to is no longer registered for it.").
			Hint("The people who run the application can have its redirect URI registered here.")
	}
	return req.checkServed()
}

// Granted gives the application what it has asked for: a code, tokens, or both. All of them can be revoked together, by the
// authorization's GrantID.
func (req *Request) Granted(r *http.Request, g login.Grant) (login.End, error) {
	a := g.Authorization
	a.Nonce = req.Nonce
	params := url.Values{}
	if req.wants(oauth.ResponseCode) {
		if err := req.issue(r.Context(), g, a, params); err != nil {
			return login.End{}, err
		}
	}
	if err := req.mint(r.Context(), a, g.Terms, params); err != nil {
		return login.End{}, err
	}
	if req.RedirectURI != oauth.RedirectOutOfBand {
		if state := req.sessionState(g.BrowserState); state != "" {
			params.Set("session_state", state)
		}
		return req.answer(params), nil
	}
	shown := ui.OOBPage{Code: params.Get("code"), Lifetime: req.purpose.cfg.Codes.Lifetime(req.RedirectURI)}
	return login.End{Show: func(w http.ResponseWriter, r *http.Request) { req.purpose.page.OOB(w, r, shown) }}, nil
}

// issue adds a code: the secret of the login if it has one, so that an answer that is given again gets the same code.
func (req *Request) issue(ctx context.Context, g login.Grant, a token.Authorization, params url.Values) error {
	params.Set("code", cmp.Or(g.Secret, code.NewSecret()))
	err := req.purpose.cfg.Codes.Issue(ctx, params.Get("code"), a, req.RedirectURI, req.Challenge)
	switch {
	case err != nil && g.Secret != "":
		return login.NotStored(err)
	case err != nil:
		return oauth.Errorf(oauth.ServerError, "The code can't be stored. Try again in a moment.").Because(err)
	}
	return nil
}

// mint adds the tokens that reach the application through the browser (OpenID Connect Core, 3.2.2.5 and 3.3.2.5).
func (req *Request) mint(ctx context.Context, a token.Authorization, on token.Terms, params url.Values) error {
	wanted := token.Wanted{
		Access: req.wants(oauth.ResponseToken), ID: req.wants(oauth.ResponseIDToken), Code: params.Get("code"),
	}
	if !wanted.Access && !wanted.ID {
		return nil
	}
	t, err := req.purpose.cfg.Minter.Mint(ctx, &a, on, wanted)
	if err != nil {
		return oauth.Errorf(oauth.ServerError, "The tokens can't be made. Try again in a moment.").Because(err)
	}
	req.purpose.cfg.Events.Emit(ctx, event.TokensIssued{
		Login: a.Login(a.GrantID), GrantType: oauth.GrantImplicit, Scopes: a.Scopes, SessionID: a.SessionID, TokenID: t.TokenID,
		AccessTokenSize: len(t.Access), IDTokenSize: len(t.ID),
	})
	if wanted.Access {
		params.Set("access_token", t.Access)
		params.Set("token_type", "bearer")
		params.Set("expires_in", strconv.FormatInt(t.ExpiresIn, 10))
		params.Set("scope", strings.Join(a.Scopes, " "))
	}
	if wanted.ID {
		params.Set("id_token", t.ID)
	}
	return nil
}
