package device

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"dex/internal/client"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/telemetry"
	"dex/internal/token"
	"dex/internal/ui"
)

// verifyPath is where the forms are sent.
const verifyPath = "/device/auth/verify_code"

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
	p.PostURL = e.base + verifyPath
	e.cfg.Pages.Device(w, r, status, p)
}

// shown returns as much of what a link says as a code can be long.
func shown(code string) string {
	const longest = 32
	return code[:min(len(code), longest)]
}

// Verify takes the code that a user has typed, asks whether the device is theirs, and takes the answer.
func (e *Endpoints) Verify() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := e.forms.Check(r); err != nil {
			e.fail(w, r, http.StatusForbidden, "The form was sent from another site.", err)
			return
		}
		if err := r.ParseForm(); err != nil {
			e.fail(w, r, http.StatusBadRequest, "The form can't be read.", err)
			return
		}
		e.verify(w, r)
	})
}

func (e *Endpoints) verify(w http.ResponseWriter, r *http.Request) {
	typed := r.PostForm.Get("user_code")
	d, err := e.tryCode(r, typed)
	var exceeded *limit.Exceeded
	switch {
	case errors.As(err, &exceeded):
		w.Header().Set("Retry-After", strconv.Itoa(exceeded.Seconds()))
		e.askCode(w, r, http.StatusTooManyRequests, ui.DevicePage{UserCode: shown(typed), Message: exceeded.Message()})
		return
	case errors.Is(err, token.ErrNoDevice):
		e.askCode(w, r, http.StatusBadRequest, ui.DevicePage{UserCode: shown(typed), Invalid: true})
		return
	case err != nil:
		e.fail(w, r, http.StatusInternalServerError, "The code can't be looked up.", err)
		return
	case d.Approved || d.Denied:
		e.showResult(w, r, d)
		return
	}
	c, err := e.cfg.Clients.Get(r.Context(), d.ClientID)
	switch {
	case errors.Is(err, client.ErrUnknown):
		e.fail(w, r, http.StatusBadRequest, "The application on the device is no longer registered.", err)
		return
	case err != nil:
		e.fail(w, r, http.StatusInternalServerError, "The application's registration can't be read.", err)
		return
	}
	e.decide(w, r, d, c)
}

// decide goes on with the user's answer; without one it asks (RFC 8628, section 5.4): somebody may have sent the user a
// link with the code of a device of their own.
func (e *Endpoints) decide(w http.ResponseWriter, r *http.Request, d token.WaitingDevice, c *client.Client) {
	decision := r.PostForm.Get("decision")
	switch {
	case decision == "deny":
		if err := e.cfg.Devices.Deny(r.Context(), d.DeviceName); err != nil {
			e.fail(w, r, http.StatusInternalServerError, "Your answer can't be stored.", err)
			return
		}
		d.Denied = true
		e.showResult(w, r, d)
	case decision == "continue" || e.cfg.SkipConfirmation:
		e.cfg.Login.BeginDevice(w, r, login.DeviceLogin{Device: d.DeviceName, Client: c, Scopes: d.Scopes})
	default:
		e.cfg.Pages.DeviceConfirm(w, r, ui.DeviceConfirmPage{
			PostURL: e.base + verifyPath, UserCode: d.UserCode, Client: c.DisplayName(), RequestedScopes: d.Scopes,
		})
	}
}

// tryCode finds the device of a code. Wrong ones count.
func (e *Endpoints) tryCode(r *http.Request, typed string) (token.WaitingDevice, error) {
	try, err := e.cfg.Limits.UserCode(r.Context())
	if err != nil {
		return token.WaitingDevice{}, err
	}
	defer try.End()
	d, err := e.cfg.Devices.Find(r.Context(), typed)
	if errors.Is(err, token.ErrNoDevice) {
		try.Failed()
	}
	return d, err
}

// Result is the page at which a login for a device ends.
func (e *Endpoints) Result() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := e.tryCode(r, r.URL.Query().Get("state"))
		var exceeded *limit.Exceeded
		switch {
		case errors.As(err, &exceeded):
			w.Header().Set("Retry-After", strconv.Itoa(exceeded.Seconds()))
			e.fail(w, r, http.StatusTooManyRequests, exceeded.Message(), err)
		case errors.Is(err, token.ErrNoDevice), err == nil && !d.Approved && !d.Denied:
			e.fail(w, r, http.StatusBadRequest, "No login has ended here, or it is too long ago.", err)
		case err != nil:
			e.fail(w, r, http.StatusInternalServerError, "The device can't be looked up.", err)
		default:
			e.showResult(w, r, d)
		}
	})
}

func (e *Endpoints) showResult(w http.ResponseWriter, r *http.Request, d token.WaitingDevice) {
	page := ui.DeviceResultPage{ClientName: d.ClientID, Denied: d.Denied}
	if c, err := e.cfg.Clients.Get(r.Context(), d.ClientID); err == nil {
		page.ClientName = c.DisplayName()
	}
	e.cfg.Pages.DeviceResult(w, r, page)
}

func (e *Endpoints) fail(w http.ResponseWriter, r *http.Request, status int, message string, err error) {
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	e.cfg.Log.Log(r.Context(), level, "device login failed", "path", r.URL.Path, "err", err)
	page := ui.ErrorPage{ErrMsg: message, RequestID: telemetry.RequestID(r.Context())}
	if status != http.StatusTooManyRequests { // who has to wait need not start again
		page.Hint = "Start again on the device, and enter its new code."
	}
	e.cfg.Pages.Error(w, r, status, page)
}
