package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// userInfoPage is the data of userinfo.html.
type userInfoPage struct {
	AccessToken string
	Result      string // JSON; empty before a request
}

// userInfoForm offers to call the UserInfo endpoint, with the held access
// token by default.
func (a *app) userInfoForm(w http.ResponseWriter, r *http.Request) error {
	var page userInfoPage
	if _, last := a.sessions.find(w, r).tokens(); last != nil {
		page.AccessToken = last.accessToken
	}
	return a.render(w, r, http.StatusOK, "userinfo.html", "UserInfo", page)
}

// userInfo shows what the UserInfo endpoint says about the access token in the
// form or, if there is none, about the held one.
func (a *app) userInfo(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	_, last := a.sessions.find(w, r).tokens()
	token := strings.TrimSpace(r.PostForm.Get("access_token"))
	if token == "" && last != nil {
		token = last.accessToken
	}
	if token == "" {
		return &pageError{status: http.StatusBadRequest, title: "No access token", detail: "Sign in first, or give an access token."}
	}

	claims, subject, err := a.provider.userInfo(r.Context(), token)
	if err != nil {
		return userInfoError(err)
	}
	// OpenID Connect Core 1.0, section 5.3.2: the subjects must agree.
	if last != nil && last.accessToken == token && last.idToken != "" && last.identity.Subject != subject {
		return providerError("UserInfo failed", errors.New("the response is about another subject than the ID token"))
	}
	return a.render(w, r, http.StatusOK, "userinfo.html", "UserInfo", userInfoPage{AccessToken: token, Result: indented(claims)})
}

// userInfoError distinguishes a refusal, which is about the given token, from
// an unreachable provider.
func userInfoError(err error) error {
	const title = "UserInfo failed"
	if _, ok := errors.AsType[*url.Error](err); ok {
		return providerError(title, err)
	}
	return &pageError{status: http.StatusBadRequest, title: title, detail: brief(err), cause: err}
}
