package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// crossClientScope asks for a token that another client accepts too.
const crossClientScope = "audience:server:client_id:"

// Scopes that are ticked on the start page, and used for a sign-in that chooses
// none. "openid" is always sent: it makes the request an OpenID Connect one.
var defaultScopes = []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess}

// scopeChoice is one checkbox of the start page.
type scopeChoice struct {
	Name    string
	Checked bool
	Always  bool
}

// scopeChoices lists the default scopes and groups, then the others that the
// provider advertises.
func (m metadata) scopeChoices() []scopeChoice {
	known := append(slices.Clone(defaultScopes), "groups")
	var choices []scopeChoice
	for _, name := range known {
		// If offline_access is not a scope, it is requested by a parameter.
		if m.supportsScope(name) || slices.Contains(defaultScopes, name) {
			choices = append(choices, scopeChoice{
				Name:    name,
				Checked: slices.Contains(defaultScopes, name),
				Always:  name == oidc.ScopeOpenID,
			})
		}
	}
	for _, name := range m.Scopes {
		if !slices.Contains(known, name) {
			choices = append(choices, scopeChoice{Name: name})
		}
	}
	return choices
}

// supportsScope is true for every scope if none is advertised.
func (m metadata) supportsScope(name string) bool {
	return len(m.Scopes) == 0 || slices.Contains(m.Scopes, name)
}

// login sends the browser to the provider.
func (a *app) login(w http.ResponseWriter, r *http.Request) error {
	if err := parseForm(r); err != nil {
		return err
	}
	login := a.newLogin()
	a.sessions.open(w, r).addLogin(login)
	http.Redirect(w, r, a.provider.authorizationURL(r.PostForm, login), http.StatusSeeOther) //nolint:gosec // the form chooses parameters only
	return nil
}

// newLogin returns what a sign-in needs that begins now.
func (a *app) newLogin() pendingLogin {
	login := pendingLogin{state: rand.Text(), nonce: rand.Text(), started: a.now()}
	if a.pkce {
		login.pkceVerifier = oauth2.GenerateVerifier()
	}
	return login
}

// params are the parameters of an authorization request that protect it.
func (login pendingLogin) params() []oauth2.AuthCodeOption {
	params := []oauth2.AuthCodeOption{oidc.Nonce(login.nonce)}
	if login.pkceVerifier != "" {
		params = append(params, oauth2.S256ChallengeOption(login.pkceVerifier))
	}
	return params
}

// authorizationURL is the authorization request for the form's choices.
func (p *provider) authorizationURL(form url.Values, login pendingLogin) string {
	config := p.oauth2
	config.Scopes = requestedScopes(form)
	params := login.params()

	if wantsOffline := slices.Contains(config.Scopes, oidc.ScopeOfflineAccess); wantsOffline && !p.metadata.supportsScope(oidc.ScopeOfflineAccess) {
		config.Scopes = slices.DeleteFunc(config.Scopes, func(s string) bool { return s == oidc.ScopeOfflineAccess })
		params = append(params, oauth2.AccessTypeOffline)
	}
	if connector := strings.TrimSpace(form.Get("connector_id")); connector != "" {
		params = append(params, oauth2.SetAuthURLParam("connector_id", connector))
	}
	if wanted := words(form["acr_values"]); len(wanted) > 0 {
		params = append(params, oauth2.SetAuthURLParam("acr_values", strings.Join(wanted, " ")))
	}
	return config.AuthCodeURL(login.state, params...)
}

// requestedScopes reads the fields extra_scopes and cross_client, both of
// which may repeat and hold several values.
func requestedScopes(form url.Values) []string {
	scopes := []string{oidc.ScopeOpenID}
	add := func(scope string) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if !form.Has("extra_scopes") {
		scopes = slices.Clone(defaultScopes)
	}
	for _, scope := range words(form["extra_scopes"]) {
		add(scope)
	}
	for _, client := range words(form["cross_client"]) {
		add(crossClientScope + client)
	}
	return scopes
}

// words splits field values at spaces and commas.
func words(values []string) []string {
	var all []string
	for _, value := range values {
		all = append(all, strings.FieldsFunc(value, func(r rune) bool {
			return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n'
		})...)
	}
	return all
}
