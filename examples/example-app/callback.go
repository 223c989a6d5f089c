package main

import (
	"net/http"
)

// callback handles the provider's answer to a sign-in.
func (a *app) callback(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return &pageError{status: http.StatusMethodNotAllowed, title: "Wrong method", detail: "The provider's answer must be a GET request."}
	}
	response := r.URL.Query()
	sess := a.sessions.find(w, r)

	login, known := sess.takeLogin(response.Get("state"), a.now())
	if !known {
		// Reloading this address after a sign-in should show its result.
		if _, last := sess.tokens(); last != nil && !response.Has("error") {
			http.Redirect(w, r, "/tokens", http.StatusSeeOther)
			return nil
		}
		return &pageError{
			status: http.StatusBadRequest,
			title:  "No sign-in to finish",
			detail: "The state of this answer doesn't belong to a sign-in that this browser started in the last ten minutes. Start again.",
		}
	}
	if err := a.provider.checkResponseIssuer(response); err != nil {
		return &pageError{status: http.StatusBadRequest, title: "Answer from the wrong provider", detail: brief(err), cause: err}
	}
	if login.silent {
		return a.finishCheck(w, r, sess, login, response)
	}
	if code := response.Get("error"); code != "" {
		return &pageError{
			status:      http.StatusBadRequest,
			title:       "Sign-in failed",
			detail:      "The provider answered with an error.",
			code:        code,
			description: response.Get("error_description"),
		}
	}
	code := response.Get("code")
	if code == "" {
		return &pageError{status: http.StatusBadRequest, title: "Sign-in failed", detail: "The provider's answer has neither a code nor an error."}
	}

	set, err := a.provider.exchange(r.Context(), code, login)
	if err != nil {
		return providerError("Sign-in failed", err)
	}
	sess.signIn(set)
	a.sessions.rotate(w, r)
	http.Redirect(w, r, "/tokens", http.StatusSeeOther)
	return nil
}
