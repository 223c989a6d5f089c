package account

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"dex/internal/factor"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// passkey shows the page that registers a security key or a passkey.
func (a *Account) passkey(v *recent) error {
	if err := a.mayAdd(v, factor.TypeWebAuthn); err != nil {
		return err
	}
	a.page.WebAuthn(v.w, v.r, http.StatusOK, ui.WebAuthnPage{
		Mode: ui.WebAuthnRegister, AuthenticatorID: v.Authenticator, BackURL: a.homePath(""),
	})
	return nil
}

// beginRegistration tells the script of the page what to ask of the browser.
func (a *Account) beginRegistration(v *recent) (any, error) {
	if err := a.mayAdd(v, factor.TypeWebAuthn); err != nil {
		return nil, err
	}
	options, err := a.cfg.Factors.BeginRegistration(v.r.Context(), v.user(), v.Authenticator, v.Key)
	if err != nil {
		return nil, failedCeremony(err)
	}
	return json.RawMessage(options), nil
}

// finishRegistration adds the key that the browser has answered with.
func (a *Account) finishRegistration(v *recent) (any, error) {
	if err := a.mayAdd(v, factor.TypeWebAuthn); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(v.r.Body) // the route bounds it
	var named struct {
		Name string `json:"name"`
	}
	if err == nil {
		err = json.Unmarshal(body, &named)
	}
	if err != nil {
		return nil, page.Errorf(http.StatusBadRequest, "The form can't be read.").Because(err)
	}
	made, err := a.cfg.Factors.FinishRegistration(v.r.Context(), v.user(), v.Authenticator, v.Key, named.Name, body, a.stillFresh(v))
	if err != nil {
		return nil, failedCeremony(err)
	}
	method := oauth.MethodHardware
	if made.BackupEligible {
		method = oauth.MethodSoftware
	}
	a.stepUp(v, method)
	to := a.homePath(doneKey)
	if a.lacksCodes(v) {
		to = a.link(v.visit, pageRecovery)
	}
	return map[string]string{"redirect": to}, nil
}

// failedCeremony is what people are told whose security key or passkey isn't added.
func failedCeremony(err error) error {
	switch {
	case errors.Is(err, factor.ErrNotFirst):
		return errAgain
	case errors.Is(err, factor.ErrTooMany):
		return page.Errorf(http.StatusConflict, "You have as many keys as you may. Remove one first.").Because(err)
	case errors.Is(err, factor.ErrTaken):
		return page.Errorf(http.StatusConflict, "You have added this key already.").Because(err)
	case errors.Is(err, factor.ErrCeremony), errors.Is(err, factor.ErrReplayed):
		return page.Errorf(http.StatusBadRequest, "That didn’t work. Try again.").Because(err)
	}
	return notDone(err)
}
