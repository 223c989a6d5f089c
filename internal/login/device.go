package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"dex/internal/client"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/token"
)

// Devices is told how the logins end that were begun for devices (RFC 8628).
type Devices interface {
	// Approve gives a device what its user has let it have. An error that is an *oauth.Error says why it can't have it any
	// more; every other one that the storage failed.
	Approve(ctx context.Context, d token.DeviceName, a token.Authorization) error
	// Deny tells a device that its user, or who knows them, has refused.
	Deny(ctx context.Context, d token.DeviceName) error
}

// A DeviceLogin is a login that a user begins in a browser for a device that has none.
type DeviceLogin struct {
	Device token.DeviceName
	Client *client.Client
	Scopes []string
}

// BeginDevice begins the login of a user for a device, after the user has been asked about the device. It ends at
// /device/callback, where the user is told how it went.
func (f *Flow) BeginDevice(w http.ResponseWriter, r *http.Request, d DeviceLogin) {
	req := &request{
		ClientID: d.Client.ID, Scopes: d.Scopes, UserCode: d.Device.UserCode, DeviceID: d.Device.ID,
		Expires: f.now().Add(f.cfg.RequestLifetime),
	}
	f.serve(func(w http.ResponseWriter, r *http.Request) error { return f.offer(w, r, req, d.Client) }).ServeHTTP(w, r)
}

// device returns which device the login is for.
func (req *request) device() token.DeviceName {
	return token.DeviceName{UserCode: req.UserCode, ID: req.DeviceID}
}

// deviceResult is where the user sees how a login for a device has ended.
func (f *Flow) deviceResult(userCode string) string {
	return f.page.Path(oauth.DeviceCallback, url.Values{"state": {userCode}})
}

// devicePage returns where an authorization request belongs whose redirect URI is upstream's way back into its own device
// flow: to the page where the user confirms the device.
func (f *Flow) devicePage(r *http.Request) (target string, ok bool) {
	if err := r.ParseForm(); err != nil || f.cfg.DeviceRedirect == nil {
		return "", false // what can't be read is reported where the request is
	}
	return f.cfg.DeviceRedirect(r.Form.Get("redirect_uri"), r.Form.Get("state"))
}

// resume returns the login for a device that the parameter req names and this browser holds; nil if the parameter is
// absent. Only these logins are kept before a connector is chosen: no address can repeat their request.
func (f *Flow) resume(r *http.Request) (*request, *client.Client, error) {
	id := r.URL.Query().Get("req")
	if id == "" {
		return nil, nil, nil
	}
	req, err := f.requests.load(r.Context(), r, id)
	if err != nil {
		return nil, nil, errLostRequest(err)
	}
	if req.UserCode == "" {
		return nil, nil, errLostRequest(errNoRequest)
	}
	c, err := f.clientOf(r.Context(), req)
	if err != nil {
		return nil, nil, err
	}
	req.ConnectorID, req.Done = "", false // who it will be, and from where, may be chosen anew
	return req, c, nil
}

// endDevice ends a login for a device with an error, and says more if that is a denial. The device hears of a refusal; after
// everything else its user may try again.
func (f *Flow) endDevice(w http.ResponseWriter, r *http.Request, e *answerError, denied *denial) {
	f.page.LogFailure(r, e.err.Status(), e)
	if e.err.Code != oauth.AccessDenied {
		shown := page.Errorf(e.err.Status(), "%s", e.err.PublicDescription())
		if failure, ok := errors.AsType[*federation.Failure](e.err); ok && !failure.Outcome.RetryHelps() {
			shown = shown.Hint("Tell the people who run this login.")
		} else {
			shown = shown.Hint("Try again, with the code that the device shows.")
		}
		f.page.Show(w, r, shown)
		return
	}
	if err := f.cfg.Devices.Deny(r.Context(), e.req.device()); err != nil {
		f.page.Fail(w, r, page.Errorf(http.StatusInternalServerError, "The device can't be told.").Because(err))
		return
	}
	f.requests.forget(w, r, e.req.ID)
	if !errors.Is(e, errNoConsent) { // who refused knows why
		const refused = "The device was refused. To try again, start on the device, and enter its new code."
		shown := page.Errorf(http.StatusForbidden, "%s", e.err.PublicDescription()).Hint(refused)
		if denied != nil {
			shown.Message = denied.message
			shown.Advice = strings.TrimSpace(denied.advice + " " + refused)
		}
		f.page.Show(w, r, shown)
		return
	}
	http.Redirect(w, r, f.deviceResult(e.req.UserCode), http.StatusSeeOther)
}

// approveDevice gives the device what its user has let it have.
func (f *Flow) approveDevice(w http.ResponseWriter, r *http.Request, req *request, a token.Authorization) error {
	err := f.cfg.Devices.Approve(r.Context(), req.device(), a)
	var refused *oauth.Error
	switch {
	case errors.As(err, &refused):
		return page.Errorf(http.StatusBadRequest, "%s", refused.PublicDescription()).Because(err).
			Hint("Start again on the device, and enter its new code.")
	case err != nil:
		return page.Errorf(http.StatusInternalServerError, "The device can't be told.").Because(err)
	}
	result := f.deviceResult(req.UserCode)
	f.letGo(w, r, req, result)
	http.Redirect(w, r, result, http.StatusSeeOther)
	return nil
}
