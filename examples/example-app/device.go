package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	// defaultInterval is the polling interval in seconds if the provider names
	// none (RFC 8628, section 3.2).
	defaultInterval = 5
	// maxInterval bounds, in seconds, how long a request waits before polling.
	maxInterval = 10
)

// pendingDevice is a sign-in that the user completes on another device.
type pendingDevice struct {
	*oauth2.DeviceAuthResponse
	pkceVerifier string // empty without PKCE
}

// devicePage is the data of device.html.
type devicePage struct {
	Scopes  []scopeChoice
	Pending *deviceView // nil before there is a code
}

// deviceView is what the user needs on the other device.
type deviceView struct {
	UserCode        string
	VerificationURI string
	Complete        string // the same with the code in it; empty if the provider has none
	Expiry          *moment
}

func (p *provider) supportsDevices() bool {
	return p.oauth2.Endpoint.DeviceAuthURL != "" && p.metadata.supportsGrant(deviceGrant)
}

// deviceForm offers to begin, or shows the code and sends the browser on to
// deviceWait.
func (a *app) deviceForm(w http.ResponseWriter, r *http.Request) error {
	pending := a.sessions.find(w, r).device(a.now())
	page := devicePage{Scopes: a.provider.metadata.scopeChoices()}
	if pending != nil {
		page.Pending = &deviceView{
			UserCode: pending.UserCode, VerificationURI: pending.VerificationURI, Complete: pending.VerificationURIComplete,
			Expiry: newMoment("", pending.Expiry, a.now()),
		}
		// Without a script: this page stays until the next answer arrives.
		w.Header().Set("Refresh", "1; url=/grant/device/wait")
	}
	return a.render(w, r, http.StatusOK, "device.html", "Device", page)
}

// deviceBegin asks the provider for a code.
func (a *app) deviceBegin(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	pending, err := a.provider.beginDevice(r.Context(), requestedScopes(r.PostForm), a.pkce)
	if err != nil {
		return providerError("No code for a device", err)
	}
	a.sessions.open(w, r).setDevice(pending)
	http.Redirect(w, r, "/grant/device", http.StatusSeeOther)
	return nil
}

// deviceWait asks the provider once whether the user has answered.
func (a *app) deviceWait(w http.ResponseWriter, r *http.Request) error {
	sess := a.sessions.find(w, r)
	// Only one of several tabs polls: the provider wants an interval between two requests.
	if !sess.polling.TryLock() {
		http.Redirect(w, r, "/grant/device", http.StatusSeeOther)
		return nil
	}
	defer sess.polling.Unlock()
	pending := sess.device(a.now())
	if pending == nil {
		http.Redirect(w, r, "/grant/device", http.StatusSeeOther)
		return nil
	}
	set, err := a.provider.awaitDevice(r.Context(), pending)
	if errors.Is(err, context.DeadlineExceeded) {
		http.Redirect(w, r, "/grant/device", http.StatusSeeOther)
		return nil
	}
	sess.setDevice(nil)
	if err != nil {
		return providerError("The device was not signed in", err)
	}
	if set.idToken == "" {
		sess.setLast(set)
	} else {
		set.elsewhere = true
		sess.signIn(set)
		a.sessions.rotate(w, r)
	}
	http.Redirect(w, r, "/tokens", http.StatusSeeOther)
	return nil
}

// deviceCancel forgets the code.
func (a *app) deviceCancel(w http.ResponseWriter, r *http.Request) error {
	a.sessions.find(w, r).setDevice(nil)
	http.Redirect(w, r, "/grant/device", http.StatusSeeOther)
	return nil
}

// beginDevice makes a device authorization request (RFC 8628, section 3.1).
func (p *provider) beginDevice(ctx context.Context, scopes []string, pkce bool) (*pendingDevice, error) {
	config := p.oauth2
	config.Scopes = scopes
	var params []oauth2.AuthCodeOption
	var verifier string
	if pkce {
		verifier = oauth2.GenerateVerifier()
		params = append(params, oauth2.S256ChallengeOption(verifier))
	}
	if config.ClientSecret != "" { // the library sends the ID only
		params = append(params, oauth2.SetAuthURLParam("client_secret", config.ClientSecret))
	}
	answer, err := config.DeviceAuth(oidc.ClientContext(ctx, p.client), params...)
	if err != nil {
		return nil, fmt.Errorf("device request: %w", err)
	}
	if answer.DeviceCode == "" || answer.UserCode == "" {
		return nil, errors.New("the answer has no codes")
	}
	for _, address := range []string{answer.VerificationURI, answer.VerificationURIComplete} {
		if _, err := webURL(address); err != nil && address != "" {
			return nil, fmt.Errorf("verification URI: %w", err)
		}
	}
	if answer.Interval <= 0 {
		answer.Interval = defaultInterval
	}
	answer.Interval = min(answer.Interval, maxInterval)
	return &pendingDevice{answer, verifier}, nil
}

// awaitDevice waits for the interval, and asks for the tokens once.
// [context.DeadlineExceeded] means that the user has not answered yet.
func (p *provider) awaitDevice(ctx context.Context, pending *pendingDevice) (*tokenSet, error) {
	interval := time.Duration(pending.Interval) * time.Second
	ctx, cancel := context.WithTimeout(ctx, interval+interval/2)
	defer cancel()
	var params []oauth2.AuthCodeOption
	if pending.pkceVerifier != "" {
		params = append(params, oauth2.VerifierOption(pending.pkceVerifier))
	}
	return p.request(ctx, "Device code", func(ctx context.Context) (*oauth2.Token, error) {
		return p.oauth2.DeviceAccessToken(ctx, pending.DeviceAuthResponse, params...)
	})
}
