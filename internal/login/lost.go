package login

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/page"
	"dex/internal/ui"
)

// errLost is the page for a step whose login the browser does not hold.
func errLost(cause error) error {
	if !errors.Is(cause, errNoLogin) {
		return page.Errorf(http.StatusInternalServerError, "This login can't continue.").Because(cause)
	}
	return page.Errorf(http.StatusBadRequest,
		"This login has ended, took too long, or was started in another browser.").
		Hint("Go back to the application and log in again.").Because(cause)
}

// lost is the page for a step whose login can't be loaded. If it is one that has expired, or the last one that ended in this browser,
// as somebody sees who goes back in the browser's history, there is a way on. The login is nil if nothing is known of it.
func (f *Flow) lost(r *http.Request, id string, expired *login, cause error) error {
	err := errLost(cause)
	e, ok := errors.AsType[*page.Error](err)
	if !ok || !errors.Is(cause, errNoLogin) {
		return err
	}
	over := expired
	if over == nil {
		if over = f.logins.last(r.Context(), r, id); over == nil {
			return err
		}
		e.Message, e.Advice = "You have already finished this login.", "Go back to the application, or log in again."
	}
	request, openErr := f.open(over)
	if openErr != nil {
		return err
	}
	ask := request.Ask()
	ui.Wish(r.Context(), ask.UILocales)
	f.addWays(r.Context(), e, request, expired == nil)
	return e
}

// addWays adds to an error how to get on with a request, unless the error knows better. When its login is over, the application has
// been answered.
func (f *Flow) addWays(ctx context.Context, e *page.Error, request Request, over bool) {
	way := request.WayOn(ctx)
	if e.Page.RetryURL == "" {
		_ = e.Retry(way.StartURL, way.StartText) // e itself
	}
	switch {
	case !over:
		e.Page.Back = way.Back
	case way.HomeURL != "":
		if c, err := f.cfg.Clients.Get(ctx, request.Ask().ClientID); err == nil {
			e.Page.AppURL, e.Page.App = way.HomeURL, c.DisplayName()
		}
	}
}

type visitKey struct{}

// withVisit returns a request during which it may turn out which login it belongs to.
func withVisit(r *http.Request) (*http.Request, **visit) {
	at := new(*visit)
	return r.WithContext(context.WithValue(r.Context(), visitKey{}, at)), at
}

// belongs notes which login a request belongs to, so that errors lead on.
func (v *visit) belongs() {
	if at, ok := v.r.Context().Value(visitKey{}).(**visit); ok {
		*at = v
	}
}
