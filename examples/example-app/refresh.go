package main

import (
	"errors"
	"net/http"
	"strings"
)

// refreshPage is the data of refresh.html.
type refreshPage struct {
	RefreshToken string
}

// refreshForm offers to redeem a refresh token, the held one by default.
func (a *app) refreshForm(w http.ResponseWriter, r *http.Request) error {
	var page refreshPage
	if _, last := a.sessions.find(w, r).tokens(); last != nil {
		page.RefreshToken = last.refreshToken
	}
	return a.render(w, r, http.StatusOK, "refresh.html", "Refresh", page)
}

// refreshHeld redeems the refresh token of the latest response.
func (a *app) refreshHeld(w http.ResponseWriter, r *http.Request) error {
	sess := a.sessions.find(w, r)
	sess.refreshing.Lock()
	defer sess.refreshing.Unlock()
	_, last := sess.tokens()
	if last == nil || last.refreshToken == "" {
		return &pageError{status: http.StatusBadRequest, title: "Nothing to refresh", detail: "This browser holds no refresh token. Sign in with the scope offline_access to get one."}
	}
	return a.refreshTokens(w, r, sess, last.refreshToken)
}

// refreshGiven redeems the refresh token of the form.
func (a *app) refreshGiven(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	token := strings.TrimSpace(r.PostForm.Get("refresh_token"))
	if token == "" {
		return &pageError{status: http.StatusBadRequest, title: "Nothing to refresh", detail: "The form has no refresh token."}
	}
	sess := a.sessions.open(w, r)
	sess.refreshing.Lock()
	defer sess.refreshing.Unlock()
	return a.refreshTokens(w, r, sess, token)
}

// refreshTokens redeems a refresh token and shows the result. It needs
// sess.refreshing held: a provider that rotates refresh tokens may take
// two redemptions of one for theft and revoke them all.
func (a *app) refreshTokens(w http.ResponseWriter, r *http.Request, sess *session, token string) error {
	set, err := a.provider.refresh(r.Context(), token)
	if err != nil {
		return providerError("Refresh failed", err)
	}
	if user, _ := sess.tokens(); user != nil && user.refreshToken == token {
		if set, err = user.renewed(set); err != nil {
			return providerError("Refresh failed", err)
		}
		sess.signIn(set)
	} else {
		sess.setLast(set)
	}
	http.Redirect(w, r, "/tokens", http.StatusSeeOther)
	return nil
}

// renewed returns the signed-in user's tokens after a refresh. The ID token is
// checked against the previous one (OpenID Connect Core 1.0, section 12.2),
// which stays in force if the response has none.
func (old *tokenSet) renewed(set *tokenSet) (*tokenSet, error) {
	renewed := *set
	renewed.elsewhere = old.elsewhere
	if set.idToken == "" {
		renewed.idToken, renewed.identity = old.idToken, old.identity
		return &renewed, nil
	}
	if set.identity.Subject != old.identity.Subject {
		return nil, errors.New("the new ID token is about somebody else")
	}
	if set.identity.Nonce != "" && set.identity.Nonce != old.identity.Nonce {
		return nil, errors.New("the new ID token has another nonce")
	}
	return &renewed, nil
}
