package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/factor"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/token"
	"dex/internal/ui"
)

// Passkey signs in a user of our own database who has a passkey, without a password.
func (f *Flow) Passkey() http.Handler { return f.serve(f.passkey) }

func (f *Flow) passkey(w http.ResponseWriter, r *http.Request) error {
	v, source, err := f.underWay(w, r, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	checker, ok := source.Instance.(connector.Password)
	if !ok || !f.offersPasskeys(source.Definition) {
		return page.Errorf(http.StatusBadRequest, "This way to log in takes no passkey.")
	}
	if err := f.page.ReadForm(r); err != nil {
		return err
	}
	form, err := f.passwordPage(v, source, checker)
	if err != nil {
		return err
	}
	form.PostURL = f.passwordPath(source.ID, v.ID)
	attempt, err := f.cfg.Limits.Passkey(r.Context())
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		f.failed(v, http.StatusTooManyRequests, "", err)
		page.RetryAfter(w, exceeded)
		form.Message = exceeded.Message()
		f.page.Password(w, r, http.StatusTooManyRequests, form)
		return nil
	}
	if err != nil {
		return err
	}
	defer attempt.End()
	identity, credential, err := f.checkPasskey(v, source)
	if isRefused(err) {
		attempt.Failed()
		f.failed(v, http.StatusUnauthorized, oauth.AccessDenied, err)
		form.Message = "This passkey can’t be used here. Try another way to log in."
		f.page.Password(w, r, http.StatusUnauthorized, form)
		return nil
	}
	if err != nil {
		return page.Errorf(http.StatusInternalServerError, "Your passkey can't be checked.").
			Hint("Try again in a moment.").Because(err)
	}
	remember := r.PostForm.Has("remember_me")
	v.remember = &remember
	now := time.Now()
	for _, one := range token.FactorsOf(credential, identity.Methods) {
		v.pass(one, now)
	}
	return f.signedIn(v, source.Definition, identity)
}

// isRefused reports whether it is the passkey that isn't accepted, whatever is wrong with it: a stranger learns nothing of which there are.
func isRefused(err error) bool {
	return errors.Is(err, factor.ErrCeremony) || errors.Is(err, factor.ErrReplayed) || errors.Is(err, factor.ErrClone) ||
		errors.Is(err, connector.ErrGone)
}

// checkPasskey returns whose passkey it is, and the authenticator that it belongs to.
func (f *Flow) checkPasskey(v *visit, source *federation.Opened) (connector.Identity, string, error) {
	ctx := v.r.Context()
	user, a, err := f.cfg.Factors.FinishPasskey(ctx, v.ID, []byte(v.r.PostForm.Get("credential")))
	if err != nil {
		return connector.Identity{}, "", err
	}
	users, ok := source.Instance.(connector.Refresher)
	if !ok || user.ConnectorID != source.ID {
		return connector.Identity{}, "", factor.ErrCeremony
	}
	known, err := f.cfg.Identities.Get(ctx, user.UserID, user.ConnectorID)
	if err != nil {
		return connector.Identity{}, "", err
	}
	before := known.Value.Claims
	before.UserID = user.UserID
	identity, err := users.Refresh(ctx, connector.Scopes{Groups: true}, before)
	if err != nil {
		return connector.Identity{}, "", err
	}
	identity.Methods = a.Methods
	return identity, a.Credential.Authenticator, nil
}

// offersPasskeys reports whether users of a connector may sign in with a passkey alone.
func (f *Flow) offersPasskeys(d *federation.Definition) bool {
	return f.cfg.Factors != nil && d.Type == federation.LocalID && slices.ContainsFunc(f.cfg.Factors.Authenticators,
		func(a factor.Authenticator) bool { return a.WebAuthn.Passwordless })
}

// passkeyForm returns the form for passkeys beside that for passwords; nil where there is none.
func (f *Flow) passkeyForm(v *visit, d *federation.Definition) *ui.PasskeyForm {
	if !f.offersPasskeys(d) {
		return nil
	}
	options, ok, err := f.cfg.Factors.BeginPasskey(v.ID)
	if err != nil || !ok {
		f.log.WarnContext(v.r.Context(), "login page has no passkeys", "err", err)
		return nil
	}
	path := f.page.Path(connectorPath(d.ID)+"/passkey", url.Values{"state": {v.ID}})
	return &ui.PasskeyForm{PostURL: path, Options: string(options)}
}
