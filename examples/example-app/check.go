package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// checkPause is the least time between two silent checks of one browser.
const checkPause = 2 * time.Second

// checkScopes are what a silent check asks for: enough to say who the user is.
var checkScopes = []string{oidc.ScopeOpenID, "profile", "email"}

// errSomebodyElse is an answer to a silent check with another user's tokens.
var errSomebodyElse = errors.New("the answer is about somebody else")

// supportsSessions reports whether the provider remembers browsers, so that
// asking it without showing anything makes sense. Providers may leave
// prompt_values_supported out; "none" is in OpenID Connect Core.
func (m metadata) supportsSessions() bool {
	return m.EndSessionEndpoint != "" && (len(m.PromptValues) == 0 || slices.Contains(m.PromptValues, "none"))
}

// checks reports whether this request for the start page may lead to the
// provider first. Only browsers are sent: a program that wants to know whether
// this one is running gets the page.
func (a *app) checks(r *http.Request) bool {
	return a.checkInterval > 0 && a.provider.metadata.supportsSessions() && r.Method == http.MethodGet &&
		r.Host == a.redirectURI.Host && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// silentCheck sends the browser to ask the provider who is signed in, and
// reports whether it did.
func (a *app) silentCheck(w http.ResponseWriter, r *http.Request) bool {
	sess := a.sessions.open(w, r)
	user, due := sess.beginCheck(a.now(), a.checkInterval)
	if !due {
		return false
	}
	login := a.newLogin()
	login.silent, login.checked = true, user
	sess.addLogin(login)
	http.Redirect(w, r, a.provider.silentURL(login), http.StatusSeeOther)
	return true
}

// silentURL is an authorization request that the provider answers without
// showing anything (OpenID Connect Core 1.0, section 3.1.2.1). The hint makes
// it about the user who is signed in here, whoever else is signed in there.
func (p *provider) silentURL(login pendingLogin) string {
	config := p.oauth2
	config.Scopes = checkScopes
	params := append(login.params(), oauth2.SetAuthURLParam("prompt", "none"))
	if login.checked != nil {
		params = append(params, oauth2.SetAuthURLParam("id_token_hint", login.checked.idToken))
	}
	return config.AuthCodeURL(login.state, params...)
}

// finishCheck handles the provider's answer to a silent check, and shows the
// start page whatever it is: nobody has asked for the check.
func (a *app) finishCheck(w http.ResponseWriter, r *http.Request, sess *session, login pendingLogin, response url.Values) error {
	sess.finishedCheck(a.now())
	code, refusal := response.Get("code"), response.Get("error")
	switch {
	case code != "":
		set, err := a.provider.exchange(r.Context(), code, login)
		if err == nil {
			err = a.stillSignedIn(w, r, sess, login, set)
		}
		if err != nil {
			a.log.Warn("silent check failed", "error", brief(err))
		}
	case saysNobody(refusal):
		sess.signOut(ending{At: a.now(), Cause: endedUnknown}, login.checked)
	case refusal != "consent_required":
		a.log.Warn("silent check failed", "error", brief(errors.New(refusal)))
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// saysNobody reports whether an error means that the user is no longer signed
// in at the provider. Others mean that it can't say so now, or that somebody
// is, whom it would have to ask for consent.
func saysNobody(code string) bool {
	return !slices.Contains([]string{"", "server_error", "temporarily_unavailable", "consent_required"}, code)
}

// stillSignedIn takes over what a silent check has found. The tokens of the
// user who was signed in already are kept: those of the check can do less.
func (a *app) stillSignedIn(w http.ResponseWriter, r *http.Request, sess *session, login pendingLogin, set *tokenSet) error {
	if login.checked == nil {
		if sess.signInIfNobody(set) {
			a.sessions.rotate(w, r)
		}
		return nil
	}
	if set.identity.Subject != login.checked.identity.Subject {
		sess.signOut(ending{At: a.now(), Cause: endedUnknown}, login.checked)
		return errSomebodyElse
	}
	sess.confirm(login.checked, login.checked.confirmed(set))
	return nil
}

// confirmed returns the user's tokens with the ID token of a silent check.
func (old *tokenSet) confirmed(set *tokenSet) *tokenSet {
	kept := *old
	kept.idToken, kept.identity = set.idToken, set.identity
	kept.identity.Nonce = old.identity.Nonce // which ID tokens have after a refresh
	return &kept
}

// refreshExpired refreshes the user's access token if it has expired. If the
// provider refuses, the user is signed out.
func (a *app) refreshExpired(r *http.Request, sess *session) {
	sess.refreshing.Lock()
	defer sess.refreshing.Unlock()
	user, _ := sess.tokens()
	if user == nil || user.refreshToken == "" || user.expiry.IsZero() || a.now().Before(user.expiry) {
		return
	}
	set, err := a.provider.refresh(r.Context(), user.refreshToken)
	if err == nil {
		set, err = user.renewed(set)
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode == "invalid_grant" {
		sess.signOut(ending{At: a.now(), Cause: endedRefused}, user)
		return
	}
	if err != nil {
		a.log.Warn("refresh failed", "error", brief(err))
		return
	}
	sess.renew(user, set)
}
