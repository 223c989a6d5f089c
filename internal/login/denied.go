package login

import (
	"net/http"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/telemetry"
	"dex/internal/ui"
)

// A denial is a user whom the source knows and does not let in. The user is told why, and may try as somebody else; going
// back to the application tells it that access was denied.
type denial struct {
	*answerError
	reason string
}

// deny is the error for a source's refusal. Who refused at the source knows why, and goes straight back.
func deny(req *request, d *connector.Denied, cause error) error {
	answer := &answerError{req: req, err: oauth.Errorf(oauth.AccessDenied, "%s", d.Reason).Because(cause)}
	if d.ByUser || req.UserCode != "" || req.RedirectURI == oauth.RedirectOutOfBand {
		return answer
	}
	return &denial{answerError: answer, reason: d.Reason}
}

// Unwrap returns what the application is told.
func (d *denial) Unwrap() error { return d.answerError }

func (f *Flow) showDenial(w http.ResponseWriter, r *http.Request, d *denial) {
	f.logFailure(r, http.StatusForbidden, d)
	page := ui.ErrorPage{
		ErrMsg:    d.reason,
		RequestID: telemetry.RequestID(r.Context()),
		RetryURL:  f.restart(d.req),
		RetryText: "Log in as somebody else",
	}
	if back, err := f.reply(d.req, errorParams(d.err)); err == nil {
		page.Back = &back
	}
	f.requests.forget(w, r, d.req.ID)
	w.Header().Set("Cache-Control", "no-store")
	f.cfg.Pages.Error(w, r, http.StatusForbidden, page)
}
