package main

import (
	"net"
	"net/http"
	"net/url"
	"time"
)

// startPage is the data of start.html.
type startPage struct {
	User *userView // nil if nobody is signed in
	// Ended is how the last sign-in ended; nil if somebody is signed in, or was
	// never.
	Ended *endingView
	// ReturnsTo is the origin where sign-ins end, if this page was opened at
	// another one.
	ReturnsTo string
	Scopes    []scopeChoice
	ACRValues []string // that the provider advertises
}

// userView is the signed-in user.
type userView struct {
	Name            string
	Email           string
	Subject         string
	SessionID       string
	AccessToken     string // shortened
	Expiry          *moment
	HasRefreshToken bool
}

func newUserView(user *tokenSet, now time.Time) *userView {
	if user == nil {
		return nil
	}
	return &userView{
		Name:            user.identity.displayName(),
		Email:           user.identity.Email,
		Subject:         user.identity.Subject,
		SessionID:       user.identity.SessionID,
		AccessToken:     shortened(user.accessToken),
		Expiry:          newMoment("", user.expiry, now),
		HasRefreshToken: user.refreshToken != "",
	}
}

// endingView is the end of a sign-in.
type endingView struct {
	Cause cause
	At    *moment
}

func newEndingView(end *ending, now time.Time) *endingView {
	if end == nil {
		return nil
	}
	return &endingView{Cause: end.Cause, At: newMoment("", end.At, now)}
}

func shortened(token string) string {
	const shown = 12
	if len(token) <= 2*shown {
		return token
	}
	return token[:shown] + "…" + token[len(token)-shown:]
}

// start shows the signed-in user and the form to sign in.
func (a *app) start(w http.ResponseWriter, r *http.Request) error {
	if to, elsewhere := a.canonicalURL(r); elsewhere {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return nil
	}
	sess := a.sessions.find(w, r)
	if a.checks(r) {
		a.refreshExpired(r, sess)
		if a.silentCheck(w, r) {
			return nil
		}
	}
	user, _ := sess.tokens()
	page := startPage{
		User: newUserView(user, a.now()), Ended: newEndingView(sess.ending(), a.now()), Scopes: a.provider.metadata.scopeChoices(),
		ACRValues: a.provider.metadata.ACRValues,
	}
	if r.Host != a.redirectURI.Host {
		page.ReturnsTo = a.origin()
	}
	return a.render(w, r, http.StatusOK, "start.html", "Start", page)
}

// canonicalURL returns where to redirect a browser that opened this program
// under a loopback name other than the redirect URI's (localhost for
// 127.0.0.1): the cookie of a sign-in started there would be missing at the
// callback.
func (a *app) canonicalURL(r *http.Request) (string, bool) {
	opened, err := url.Parse("//" + r.Host)
	if err != nil || r.Host == a.redirectURI.Host || opened.Port() != a.redirectURI.Port() {
		return "", false
	}
	if !isLoopback(opened.Hostname()) || !isLoopback(a.redirectURI.Hostname()) {
		return "", false
	}
	return a.origin() + "/", true
}

// origin is the scheme, host and port of the redirect URI.
func (a *app) origin() string {
	return a.redirectURI.Scheme + "://" + a.redirectURI.Host
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
