package device

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// PurposeConfig is what a Purpose is made of.
type PurposeConfig struct {
	IssuerURL *url.URL
	Devices   *Codes
	Pages     *ui.UI
	Events    event.Sink
	Enabled   bool // whether devices may ask for codes
}

// Purpose is logins for devices, which end at /device/callback, where users are told how it went.
type Purpose struct {
	cfg  PurposeConfig
	page *page.Frame
}

// NewPurpose returns the purpose.
func NewPurpose(cfg PurposeConfig) *Purpose {
	return &Purpose{cfg: cfg, page: page.New(cfg.IssuerURL, cfg.Pages, cfg.Events)}
}

// Redirect returns the page for an authorization request whose redirect URI is the way back into upstream's own device
// flow, in either of its forms: its user code is in the state.
func (p *Purpose) Redirect(redirectURI, state string) (target string, ok bool) {
	if !p.cfg.Enabled || redirectURI != oauth.DeviceCallback && redirectURI != p.page.Path(oauth.DeviceCallback, nil) {
		return "", false
	}
	return p.page.Path(formPath, url.Values{"user_code": {shown(state)}}), true
}

// Name implements login.Purpose.
func (p *Purpose) Name() string { return "device" }

// Open implements login.Purpose.
func (p *Purpose) Open(document []byte) (login.Request, error) {
	req := &request{purpose: p}
	if err := json.Unmarshal(document, req); err != nil {
		return nil, err
	}
	return req, nil
}

// A request is a device that waits for its user.
type request struct {
	ClientID string   `json:"client"`
	Scopes   []string `json:"scopes"`
	UserCode string   `json:"userCode"`
	DeviceID string   `json:"deviceID"`

	purpose *Purpose
}

func (p *Purpose) request(d Waiting) *request {
	return &request{ClientID: d.ClientID, Scopes: d.Scopes, UserCode: d.UserCode, DeviceID: d.ID, purpose: p}
}

func (req *request) device() Name {
	return Name{UserCode: req.UserCode, ID: req.DeviceID}
}

// Ask implements login.Request.
func (req *request) Ask() login.Ask {
	return login.Ask{
		ClientID: req.ClientID, Grant: oauth.GrantDeviceCode, Scopes: req.Scopes, Page: ui.ApprovalPage{UserCode: req.UserCode},
	}
}

// Repeat implements login.Request. No address can repeat that the user has confirmed the device.
func (req *request) Repeat() url.Values { return nil }

// WayOn implements login.Request.
func (req *request) WayOn(context.Context) login.WayOn {
	return login.WayOn{StartURL: req.purpose.page.Path(formPath, nil), StartText: enterCode}
}

// Check implements login.Request. All that a device asks for is the policy's.
func (req *request) Check(*client.Client) error { return nil }

// Granted gives the device what its user has let it have.
func (req *request) Granted(r *http.Request, g login.Grant) (login.End, error) {
	err := req.purpose.cfg.Devices.Approve(r.Context(), req.device(), g.Authorization)
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		return login.End{}, page.Errorf(http.StatusBadRequest, "%s", refused.PublicDescription()).Because(err).
			Hint("Start again on the device, then enter its new code.")
	}
	if err != nil {
		return login.End{}, errNotTold(err)
	}
	return req.result(), nil
}

// result leads to where the user sees how the login has ended.
func (req *request) result() login.End {
	address := req.purpose.page.Path(oauth.DeviceCallback, url.Values{"state": {req.UserCode}})
	return login.End{Address: address, Show: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, address, http.StatusSeeOther)
	}}
}

// Refused tells the device that it is refused. After a failure its user may try again.
func (req *request) Refused(r *http.Request, no login.Refusal) (login.End, error) {
	if !isFinal(no.Err) {
		return req.tryAgain(no.Err), nil
	}
	if err := req.purpose.cfg.Devices.Deny(r.Context(), req.device()); err != nil {
		return login.End{}, errNotTold(err)
	}
	if no.ByUser {
		return req.result(), nil
	}
	const advice = "The device didn't get access. To try again, start again on the device, then enter its new code."
	shown := page.Errorf(http.StatusForbidden, "%s", no.Err.PublicDescription()).Hint(advice)
	if no.Denied != nil {
		shown.Message = no.Denied.Reason
		shown.Advice = strings.TrimSpace(no.Denied.Advice + " " + advice)
	}
	return req.show(shown.Retry(req.purpose.page.Path(formPath, nil), enterCode)), nil
}

// isFinal reports whether another try with the same code can't help.
func isFinal(e *oauth.Error) bool {
	return slices.Contains([]string{oauth.AccessDenied, oauth.UnauthorizedClient, oauth.InvalidScope}, e.Code)
}

func (req *request) tryAgain(e *oauth.Error) login.End {
	shown := page.Errorf(e.Status(), "%s", e.PublicDescription()).Hint("Try again with the code that the device shows.")
	if failure, ok := errors.AsType[*federation.Failure](e); ok && !failure.Outcome.RetryHelps() {
		shown.Advice = "Tell the people who run this service."
	}
	end := req.show(shown.Retry(req.purpose.page.Path(formPath, url.Values{"user_code": {req.UserCode}}), enterCode))
	end.Keep = true
	return end
}

func (req *request) show(e *page.Error) login.End {
	return login.End{Show: func(w http.ResponseWriter, r *http.Request) { req.purpose.page.Show(w, r, e) }}
}

func errNotTold(cause error) error {
	return page.Errorf(http.StatusInternalServerError, "Your answer can't be passed on to the device.").Because(cause)
}
