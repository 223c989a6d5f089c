package login

import (
	"context"
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// A denial is a user whom the source knows and does not let in, or whose account is of no use here. The user is told why,
// and may try as somebody else; going back to the application tells it that access was denied.
type denial struct {
	*answerError
	message, advice string
}

// Unwrap returns what the application is told.
func (d *denial) Unwrap() error { return d.answerError }

// ended counts how an attempt at a source has ended, and returns what comes of it: nil, a denial, or what tells the
// application, or, as upstream has it, the user, that the source failed.
func (f *Flow) ended(ctx context.Context, req *request, op federation.Operation, err error) error {
	failure, ok := errors.AsType[*federation.Failure](f.cfg.Connectors.Ended(ctx, req.ConnectorID, op, err))
	if !ok {
		return nil
	}
	answer := &answerError{req: req, err: failure.Answer()}
	switch failure.Outcome {
	case connector.Refused:
		if answer.err.Code == oauth.AccessDenied {
			return &denial{answerError: answer, message: failure.Reason()}
		}
	case connector.Gone:
		return &denial{answerError: answer, message: failure.Reason()}
	case connector.AccountUnusable:
		return &denial{
			answerError: answer, message: "Your account can't be used here. " + failure.Reason(),
			advice: "Tell the people who run this login.",
		}
	case connector.Unavailable:
		if f.cfg.ShowFailures {
			return page.Errorf(http.StatusServiceUnavailable, "The service that you log in with does not answer.").
				Hint("Go back to the application and log in again in a moment.").Because(failure)
		}
	case connector.TokenRefused, connector.Broken:
		if f.cfg.ShowFailures {
			return page.Errorf(http.StatusInternalServerError, "The service that you log in with has failed.").
				Hint("Trying again does not help. Tell the people who run this login.").Because(failure)
		}
	case connector.Cancelled: // who refused at the source knows why, and goes straight back
	case connector.Succeeded, connector.WrongPassword:
	}
	return answer
}

func (f *Flow) showDenial(w http.ResponseWriter, r *http.Request, d *denial) {
	f.page.LogFailure(r, http.StatusForbidden, d)
	shown := ui.ErrorPage{
		ErrMsg:    d.message,
		Hint:      d.advice,
		RequestID: telemetry.RequestID(r.Context()),
		RetryURL:  f.restart(d.req),
		RetryText: "Log in as somebody else",
	}
	if d.req.RedirectURI != oauth.RedirectOutOfBand {
		back := f.reply(d.req, errorParams(d.err))
		shown.Back = &back
	}
	f.requests.forget(w, r, d.req.ID)
	w.Header().Set("Cache-Control", "no-store")
	f.page.Error(w, r, http.StatusForbidden, shown)
}
