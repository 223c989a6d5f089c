package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"dex/internal/client"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// Refused answers a request whose login came to nothing (RFC 6749, section 4.1.2.1). A user whom the source doesn't let in is
// told why; going back to the application tells it that access was denied.
func (req *Request) Refused(r *http.Request, refused login.Refusal) (login.End, error) {
	way := req.WayOn(r.Context())
	if way.StartURL == "" {
		return req.showError(http.StatusBadRequest, refused.Err, way), nil
	}
	switch {
	case refused.Denied != nil:
		return req.showDenial(refused), nil
	case req.RedirectURI == oauth.RedirectOutOfBand:
		return req.showError(refused.Err.Status(), refused.Err, way), nil
	}
	return req.answer(errorParams(refused.Err)), nil
}

// stillRegistered reports whether the redirect URI still belongs to the client, which may have changed since the request was
// checked. If the client can't be read, that check stands.
func (req *Request) stillRegistered(ctx context.Context) bool {
	c, err := req.purpose.cfg.Clients.Get(ctx, req.ClientID)
	if err != nil {
		return !errors.Is(err, client.ErrUnknown)
	}
	return c.AllowsRedirect(req.RedirectURI, req.purpose.cfg.Redirects)
}

func (req *Request) showError(status int, e *oauth.Error, way login.WayOn) login.End {
	return login.End{Keep: true, Show: func(w http.ResponseWriter, r *http.Request) {
		req.purpose.page.Show(w, r, page.Errorf(status, "%s", e.PublicDescription()).Retry(way.StartURL, way.StartText))
	}}
}

func (req *Request) showDenial(refused login.Refusal) login.End {
	shown := ui.ErrorPage{
		ErrMsg:    refused.Denied.Reason,
		Hint:      refused.Denied.Advice,
		RetryURL:  refused.Denied.AnewURL,
		RetryText: "Use another account",
	}
	if req.RedirectURI != oauth.RedirectOutOfBand {
		back := req.reply(errorParams(refused.Err))
		shown.Back = &back
	}
	return login.End{Show: func(w http.ResponseWriter, r *http.Request) {
		shown.RequestID = telemetry.RequestID(r.Context())
		w.Header().Set("Cache-Control", "no-store")
		req.purpose.page.Error(w, r, http.StatusForbidden, shown)
	}}
}

// answer sends the browser back to the application.
func (req *Request) answer(params url.Values) login.End {
	back := req.reply(params)
	return login.End{Address: back.URL, Show: func(w http.ResponseWriter, r *http.Request) {
		req.purpose.page.Go(w, r, http.StatusSeeOther, back)
	}}
}

func errorParams(e *oauth.Error) url.Values {
	params := url.Values{"error": {e.Code}}
	if d := e.PublicDescription(); d != "" {
		params.Set("error_description", d)
	}
	return params
}

// reply returns the way back to the application, whose redirect URI has been checked. The answer names us (RFC 9207), so that it
// can't be taken for another provider's. It has fields if it must be posted.
func (req *Request) reply(params url.Values) ui.FormPostPage {
	if req.State != "" {
		params.Set("state", req.State)
	}
	if !req.purpose.cfg.NoIssuer {
		params.Set("iss", req.purpose.cfg.Issuer)
	}
	if req.Mode == oauth.ModeFormPost {
		return ui.FormPostPage{URL: req.RedirectURI, Fields: page.Fields(params)}
	}
	if req.Mode == oauth.ModeFragment {
		uri, _, _ := strings.Cut(req.RedirectURI, "#")
		return ui.FormPostPage{URL: uri + "#" + params.Encode()}
	}
	return ui.FormPostPage{URL: oauth.WithQuery(req.RedirectURI, params)}
}
