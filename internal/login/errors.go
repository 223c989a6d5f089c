package login

import (
	"errors"
	"net/http"

	"dex/internal/oauth"
	"dex/internal/page"
)

// An answerError is sent to the application that made the request.
type answerError struct {
	req *request
	err *oauth.Error
}

func (e *answerError) Error() string { return e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// errLostRequest is the page for a step whose request the browser does not hold.
func errLostRequest(cause error) error {
	if !errors.Is(cause, errNoRequest) {
		return page.Errorf(http.StatusInternalServerError, "The login can't go on.").Because(cause)
	}
	return page.Errorf(http.StatusBadRequest,
		"This login has ended, has taken too long, or was begun in another browser.").
		Hint("Go back to the application and log in again.").Because(cause)
}

// serve turns a step into a handler, which answers errors that are for the application.
func (f *Flow) serve(s page.Step) http.Handler {
	return f.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		if err := s(w, r); err != nil {
			return f.answerFailure(w, r, err)
		}
		return nil
	})
}

// answerFailure tells an application, or a device, what went wrong, and returns the error if the user is to be told.
func (f *Flow) answerFailure(w http.ResponseWriter, r *http.Request, err error) error {
	denied, _ := errors.AsType[*denial](err)
	answer, ok := errors.AsType[*answerError](err)
	switch {
	case !ok:
		return err
	case answer.req.UserCode != "":
		f.endDevice(w, r, answer, denied)
	case denied != nil:
		f.showDenial(w, r, denied)
	case answer.req.RedirectURI != oauth.RedirectOutOfBand:
		f.page.LogFailure(r, answer.err.Status(), answer)
		f.answerError(w, r, answer)
	default:
		f.page.LogFailure(r, answer.err.Status(), answer)
		f.page.Show(w, r, page.Errorf(answer.err.Status(), "%s", answer.err.PublicDescription()))
	}
	return nil
}
