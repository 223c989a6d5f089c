package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// tokenSet is a token response whose ID token, if any, was verified. It is
// never changed once made.
type tokenSet struct {
	grant        string // name of the flow, for people
	received     time.Time
	idToken      string // empty if the response had none
	identity     identity
	accessToken  string
	expiry       time.Time // of the access token; zero if the response did not say
	refreshToken string
	raw          []byte // body of the response
	elsewhere    bool   // whether the user signed in with another browser
}

// identity holds the claims of a verified ID token that the program uses.
type identity struct {
	Subject           string `json:"sub"`
	Name              string `json:"name"`
	Email             string `json:"email"`
	PreferredUsername string `json:"preferred_username"`
	SessionID         string `json:"sid"`
	Nonce             string `json:"nonce"`
	AuthorizedParty   string `json:"azp"`
}

// displayName is the most readable name in the token.
func (id identity) displayName() string {
	for _, name := range []string{id.Name, id.PreferredUsername, id.Email} {
		if name != "" {
			return name
		}
	}
	return id.Subject
}

// tokensPage is the data of tokens.html.
type tokensPage struct {
	Grant        string
	Received     *moment
	Expiry       *moment
	IDToken      *tokenView // nil if the response had none
	AccessToken  *tokenView
	RefreshToken string
	Raw          string
	CanRefresh   bool
	CanUserInfo  bool
}

// tokenView is a token for display: as it is, and decoded if it is a JWT.
type tokenView struct {
	Raw string
	JWT *decodedJWT
}

func newTokenView(token string, now time.Time) *tokenView {
	if token == "" {
		return nil
	}
	return &tokenView{Raw: token, JWT: decodeJWT(token, now)}
}

// showTokens shows the latest token response.
func (a *app) showTokens(w http.ResponseWriter, r *http.Request) error {
	_, last := a.sessions.find(w, r).tokens()
	if last == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	now := a.now()
	return a.render(w, r, http.StatusOK, "tokens.html", "Tokens", tokensPage{
		Grant:        last.grant,
		Received:     newMoment("", last.received, now),
		Expiry:       newMoment("", last.expiry, now),
		IDToken:      newTokenView(last.idToken, now),
		AccessToken:  newTokenView(last.accessToken, now),
		RefreshToken: last.refreshToken,
		Raw:          indented(last.raw),
		CanRefresh:   last.refreshToken != "",
		CanUserInfo:  a.provider.oidc.UserInfoEndpoint() != "",
	})
}

// indented formats JSON for reading; anything else stays as it is.
func indented(raw []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return string(raw)
	}
	return out.String()
}
