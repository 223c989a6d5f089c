package account

import "net/http"

// A Route is a page, by its path below the issuer's.
type Route struct {
	Path    string
	Handler http.Handler
	Methods []string
}

// Routes returns the pages below /account.
func (a *Account) Routes() []Route {
	if !a.Offered() {
		return nil
	}
	read, post, both := []string{http.MethodGet}, []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	return []Route{
		{"/account/login", a.Begin(), read},
		{"/account/switch", a.serveChange((*Account).switchTo), post},
		{"/account/sessions/end", a.serveChange((*Account).endSession), post},
		{"/account/sessions/end-others", a.serveChange((*Account).endOthers), post},
		{"/account/logins/end", a.serveChange((*Account).endLogin), post},
		{"/account/consents/withdraw", a.serveChange((*Account).withdraw), post},

		{pagePassword, a.serveFresh(pagePassword, a.password), both},
		{pageTOTP, a.serveFresh(pageTOTP, a.totp), both},
		{pagePasskey, a.serveFresh(pagePasskey, a.passkey), read},
		{pagePasskey + "/register/begin", a.serveScript(a.beginRegistration), post},
		{pagePasskey + "/register/finish", a.serveScript(a.finishRegistration), post},
		{pagePasskey + "/rename", a.serveChange((*Account).rename), post},
		{pageRemove, a.serveFresh(pageRemove, a.remove), both},
		{pageRecovery, a.recoveryPages(), both},
	}
}
