package device

import (
	"errors"
	"net/http"
	"strconv"

	"dex/internal/client"
	"dex/internal/limit"
	"dex/internal/page"
	"dex/internal/ui"
)

const (
	formPath   = "/device"                  // of the form for the code
	verifyPath = "/device/auth/verify_code" // where the forms are sent
)

// enterCode leads to the form for the code.
const enterCode = "Enter the code again"

// Form is the page where users type the code that their device shows.
func (e *Endpoints) Form() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		invalid, err := strconv.ParseBool(q.Get("invalid"))
		status := http.StatusOK
		if invalid = invalid && err == nil; invalid {
			status = http.StatusBadRequest
		}
		e.askCode(w, r, status, ui.DevicePage{UserCode: shown(q.Get("user_code")), Invalid: invalid})
	})
}

func (e *Endpoints) askCode(w http.ResponseWriter, r *http.Request, status int, p ui.DevicePage) {
	p.PostURL = e.page.Path(verifyPath, nil)
	e.page.Device(w, r, status, p)
}

// shown cuts what a link or a form says to the length that a code can have.
func shown(code string) string {
	const longest = 32
	return code[:min(len(code), longest)]
}

// Verify takes the code that a user has typed, asks whether the device is theirs, and takes the answer.
func (e *Endpoints) Verify() http.Handler { return e.page.Serve(e.verify) }

func (e *Endpoints) verify(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost { // the address of the form's answer was opened again
		e.askCode(w, r, http.StatusOK, ui.DevicePage{})
		return nil
	}
	if err := e.page.ReadForm(r); err != nil {
		return err
	}
	typed := r.PostForm.Get("user_code")
	d, err := e.tryCode(r, typed)
	if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
		page.RetryAfter(w, exceeded)
		e.askCode(w, r, http.StatusTooManyRequests, ui.DevicePage{UserCode: shown(typed), Message: exceeded.Message()})
		return nil
	}
	switch {
	case errors.Is(err, ErrUnknown):
		e.askCode(w, r, http.StatusBadRequest, ui.DevicePage{UserCode: shown(typed), Invalid: true})
		return nil
	case err != nil:
		return e.failed(http.StatusInternalServerError, "The code can't be looked up.", err)
	case d.Approved || d.Denied:
		e.showResult(w, r, d)
		return nil
	}
	c, err := e.cfg.Clients.Get(r.Context(), d.ClientID)
	switch {
	case errors.Is(err, client.ErrUnknown):
		return e.failed(http.StatusBadRequest, "The application on the device is no longer registered.", err)
	case err != nil:
		return e.failed(http.StatusInternalServerError, "The application's registration can't be read.", err)
	}
	return e.decide(w, r, d, c)
}

// decide goes on with the user's answer; without one it asks (RFC 8628, section 5.4): somebody may have sent the user a
// link with the code of a device of their own.
func (e *Endpoints) decide(w http.ResponseWriter, r *http.Request, d Waiting, c *client.Client) error {
	decision := r.PostForm.Get("decision")
	switch {
	case decision == "deny":
		if err := e.cfg.Devices.Deny(r.Context(), d.Name); err != nil {
			return e.failed(http.StatusInternalServerError, "Your answer can't be saved.", err)
		}
		d.Denied = true
		e.showResult(w, r, d)
	case decision == "continue" || e.cfg.SkipConfirmation:
		e.cfg.Login.Begin(w, r, e.cfg.Purpose, e.cfg.Purpose.request(d), "")
	default:
		e.page.DeviceConfirm(w, r, ui.DeviceConfirmPage{
			PostURL: e.page.Path(verifyPath, nil), UserCode: d.UserCode, Client: c.DisplayName(), RequestedScopes: d.Scopes,
			ClientID: c.ID, ClientLogoURL: c.LogoURL, ClientNames: e.cfg.Clients.AudienceNames(r.Context(), d.Scopes),
		})
	}
	return nil
}

// tryCode finds the device of a code. Wrong ones count.
func (e *Endpoints) tryCode(r *http.Request, typed string) (Waiting, error) {
	try, err := e.cfg.Limits.UserCode(r.Context())
	if err != nil {
		return Waiting{}, err
	}
	defer try.End()
	d, err := e.cfg.Devices.Find(r.Context(), typed)
	if errors.Is(err, ErrUnknown) {
		try.Failed()
	}
	return d, err
}

// Result is the page at which a login for a device ends.
func (e *Endpoints) Result() http.Handler { return e.page.Serve(e.result) }

func (e *Endpoints) result(w http.ResponseWriter, r *http.Request) error {
	d, err := e.tryCode(r, r.URL.Query().Get("state"))
	if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
		return page.TooMany(exceeded)
	}
	switch {
	case errors.Is(err, ErrUnknown), err == nil && !d.Approved && !d.Denied:
		return e.failed(http.StatusBadRequest, "This login isn't finished, or it was too long ago.", err)
	case err != nil:
		return e.failed(http.StatusInternalServerError, "The device can't be looked up.", err)
	}
	e.showResult(w, r, d)
	return nil
}

func (e *Endpoints) showResult(w http.ResponseWriter, r *http.Request, d Waiting) {
	shown := ui.DeviceResultPage{ClientName: d.ClientID, Denied: d.Denied}
	if c, err := e.cfg.Clients.Get(r.Context(), d.ClientID); err == nil {
		shown.ClientName = c.DisplayName()
	}
	e.page.DeviceResult(w, r, shown)
}

// failed is the error for a user who has to start again.
func (e *Endpoints) failed(status int, message string, cause error) error {
	return page.Errorf(status, "%s", message).Hint("Start again on the device, then enter its new code.").
		Retry(e.page.Path(formPath, nil), enterCode).Because(cause)
}
