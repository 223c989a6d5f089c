package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
)

// refused says that a login has come to nothing, which its request is told.
type refused struct {
	v *visit
	Refusal
}

func (e *refused) Error() string { return e.Err.Error() }
func (e *refused) Unwrap() error { return e.Err }

// refuse is the error that ends a login.
func (v *visit) refuse(code, description string, cause error) error {
	return &refused{v: v, Refusal: Refusal{Err: oauth.Errorf(code, "%s", description).Because(cause)}}
}

// refusal ends the login by an error that is for the application; any other stays as it is.
func (v *visit) refusal(err error) error {
	if _, ok := errors.AsType[*page.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		return &refused{v: v, Refusal: Refusal{Err: e}}
	}
	return err
}

func tooLong(v *visit, err error) error {
	if errors.Is(err, errTooLong) {
		return v.refuse(oauth.InvalidRequest, "The request is too long; a shorter state would help.", err)
	}
	return err
}

// serve turns a step into a handler, which answers refusals too.
func (f *Flow) serve(s page.Step) http.Handler {
	return f.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		r, at := withVisit(r)
		err := s(w, r)
		if no, ok := errors.AsType[*refused](err); ok {
			err = f.endRefused(w, r, no)
		}
		if e, ok := errors.AsType[*page.Error](err); ok && *at != nil {
			f.addWays(r.Context(), e, (*at).request, errors.Is(err, errNoLogin))
		}
		return err
	})
}

// ended counts how an attempt at a source has ended, and returns what comes of it: nil, or a refusal.
func (f *Flow) ended(v *visit, asked *federation.Asking, err error) error {
	return f.refusedBy(v, asked.Ended(v.r.Context(), err))
}

// refusedBy returns what comes of an attempt at a source that has been counted: nil, or a refusal. As upstream has it, the user
// can be told instead of the application that the source failed.
func (f *Flow) refusedBy(v *visit, err error) error {
	failure, ok := errors.AsType[*federation.Failure](err)
	if !ok {
		return nil
	}
	no := &refused{v: v, Refusal: Refusal{Err: failure.Answer()}}
	switch failure.Outcome {
	case connector.Refused:
		if no.Err.Code == oauth.AccessDenied {
			no.Denied = &Denial{Reason: failure.Reason()}
		}
	case connector.Gone:
		no.Denied = &Denial{Reason: failure.Reason()}
	case connector.AccountUnusable:
		no.Denied = &Denial{
			Reason: "Your account can't be used here. " + failure.Reason(), Advice: "Tell the people who run this service.",
		}
	case connector.Unavailable:
		if f.cfg.ShowFailures {
			return page.Errorf(http.StatusServiceUnavailable, "The service that you log in with isn't answering.").
				Hint("Go back to the application and log in again in a moment.").Because(failure)
		}
	case connector.TokenRefused, connector.Broken:
		if f.cfg.ShowFailures {
			return page.Errorf(http.StatusInternalServerError, "The service that you log in with has failed.").
				Hint("Trying again won't help. Tell the people who run this service.").Because(failure)
		}
	case connector.Cancelled: // whoever refused at the source knows why, and goes straight back
	case connector.Succeeded, connector.WrongPassword:
	}
	return no
}

// failed emits that a login has come to nothing, or that its user has to try again.
func (f *Flow) failed(v *visit, status int, code string, err error) {
	e := event.LoginFailed{ClientID: v.ask.ClientID, ConnectorID: v.ConnectorID, Status: status, Code: code, Err: err}
	if v.user != nil {
		e.UserID = v.user.Identity.UserID
	}
	f.page.Report(v.r, e)
}

// endRefused tells a request that its login has come to nothing.
func (f *Flow) endRefused(w http.ResponseWriter, r *http.Request, no *refused) error {
	if no.v.ask.Silent {
		no.Denied = nil // the application must get its answer without a page (OpenID Connect Core, 3.1.2.1)
	}
	if no.Denied != nil {
		no.Denied.AnewURL = f.anotherAccount(no.v)
		f.failed(no.v, http.StatusForbidden, no.Err.Code, no)
	} else {
		f.failed(no.v, no.Err.Status(), no.Err.Code, no)
	}
	end, err := no.v.request.Refused(r, no.Refusal)
	if err != nil {
		return err
	}
	if !end.Keep && no.v.ID != "" {
		f.logins.forget(w, r, no.v.ID)
		f.remember(no.v, end.Address)
	}
	end.Show(w, r)
	return nil
}
