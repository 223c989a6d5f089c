package main

import (
	"net/http"
	"net/url"
)

// logout ends the session here and, if the provider supports it, there.
func (a *app) logout(w http.ResponseWriter, r *http.Request) error {
	sess := a.sessions.find(w, r)
	user, _ := sess.tokens()
	sess.signOut(ending{At: a.now(), Cause: endedHere}, user) // tells other tabs
	a.sessions.drop(w, r)
	if user != nil && a.provider.metadata.supportsSessions() {
		// Coming back must not sign in at once whoever else the provider knows.
		a.sessions.open(w, r).postponeCheck(a.now())
	}
	http.Redirect(w, r, a.afterLogout(user), http.StatusFound)
	return nil
}

// afterLogout is the logout request of OpenID Connect RP-Initiated Logout
// 1.0, section 2, or the start page.
func (a *app) afterLogout(user *tokenSet) string {
	endpoint, err := url.Parse(a.provider.metadata.EndSessionEndpoint)
	if err != nil || endpoint.Host == "" || user == nil {
		return "/"
	}
	query := endpoint.Query()
	query.Set("id_token_hint", user.idToken)
	query.Set("post_logout_redirect_uri", a.origin()+"/")
	endpoint.RawQuery = query.Encode()
	return endpoint.String()
}
