package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// state is what an application expects back after a login.
const state = "state-of-the-application"

// tokens are an answer from the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
}

// login signs in by the authorization code flow: three requests.
func (c *client) login(ctx context.Context, scopes string) (tokens, error) {
	target, err := c.authorize(ctx, "code", scopes)
	if err != nil {
		return tokens{}, err
	}
	return c.redeemCode(ctx, target.Query())
}

// beginSession signs in at the mock, and returns the cookie of the session besides the tokens.
func (c *client) beginSession(ctx context.Context) (t tokens, cookie string, err error) {
	begun, err := c.get(ctx, c.authorizeURL("code", loginScopes), http.StatusFound)
	if err != nil {
		return tokens{}, "", err
	}
	login, _, _ := strings.Cut(begun.Get("Set-Cookie"), ";")
	ended, err := c.get(ctx, begun.Get("Location"), http.StatusSeeOther, "Cookie", login)
	if err != nil {
		return tokens{}, "", err
	}
	for _, line := range ended.Values("Set-Cookie") {
		if strings.HasPrefix(line, "dex_session=") {
			cookie, _, _ = strings.Cut(line, ";")
		}
	}
	if cookie == "" {
		return tokens{}, "", errors.New("the login has begun no session")
	}
	target, err := url.Parse(ended.Get("Location"))
	if err != nil {
		return tokens{}, "", err
	}
	t, err = c.redeemCode(ctx, target.Query())
	return t, cookie, err
}

// sessionLogin signs in by a session.
func (c *client) sessionLogin(ctx context.Context, cookie string) (tokens, error) {
	ended, err := c.get(ctx, c.authorizeURL("code", loginScopes), http.StatusSeeOther, "Cookie", cookie)
	if err != nil {
		return tokens{}, err
	}
	target, err := url.Parse(ended.Get("Location"))
	if err != nil {
		return tokens{}, err
	}
	return c.redeemCode(ctx, target.Query())
}

// hybridLogin signs in with an ID token before the code is redeemed (OpenID Connect Core, section 3.3): three requests.
func (c *client) hybridLogin(ctx context.Context, scopes string) error {
	target, err := c.authorize(ctx, "code id_token", scopes)
	if err != nil {
		return err
	}
	answer, err := url.ParseQuery(target.EscapedFragment())
	if err != nil {
		return fmt.Errorf("answer to the application: %w", err)
	}
	if answer.Get("id_token") == "" {
		return errors.New("the answer to the application has no ID token")
	}
	_, err = c.redeemCode(ctx, answer)
	return err
}

// authorize signs in at the mock and returns the redirect with the answer.
func (c *client) authorize(ctx context.Context, responseType, scopes string) (*url.URL, error) {
	begun, err := c.get(ctx, c.authorizeURL(responseType, scopes), http.StatusFound)
	if err != nil {
		return nil, err
	}
	return c.signIn(ctx, begun)
}

func (c *client) authorizeURL(responseType, scopes string) string {
	return c.issuer + "/auth?" + url.Values{
		"client_id":     {c.id},
		"redirect_uri":  {redirectURI},
		"response_type": {responseType},
		"scope":         {scopes},
		"state":         {state},
		"nonce":         {"nonce-of-the-application"},
		"connector_id":  {"mock"},
	}.Encode()
}

// signIn follows the redirects to the mock and back, and returns the next one.
func (c *client) signIn(ctx context.Context, begun http.Header) (*url.URL, error) {
	cookie, _, _ := strings.Cut(begun.Get("Set-Cookie"), ";")
	ended, err := c.get(ctx, begun.Get("Location"), http.StatusSeeOther, "Cookie", cookie)
	if err != nil {
		return nil, err
	}
	return url.Parse(ended.Get("Location"))
}

func (c *client) redeemCode(ctx context.Context, answer url.Values) (tokens, error) {
	if answer.Get("code") == "" || answer.Get("state") != state {
		return tokens{}, errors.New("the answer to the application has no code or not its state")
	}
	return c.redeemUser(ctx, c.id, url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {answer.Get("code")},
		"redirect_uri": {redirectURI},
	})
}

// refresh redeems a refresh token.
func (c *client) refresh(ctx context.Context, refreshToken string) (tokens, error) {
	return c.redeemUser(ctx, c.id, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// deviceLogin signs in for a device (RFC 8628), which asks for its tokens once, when its user is done: five requests.
func (c *client) deviceLogin(ctx context.Context, scopes string) error {
	body, err := c.post(ctx, "/device/code", deviceClientID, url.Values{"scope": {scopes}})
	if err != nil {
		return err
	}
	var codes struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
	}
	if err := json.Unmarshal(body, &codes); err != nil {
		return fmt.Errorf("answer to the device: %w", err)
	}
	if err := c.connectDevice(ctx, codes.User); err != nil {
		return err
	}
	_, err = c.redeemUser(ctx, deviceClientID, url.Values{
		"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
		"device_code": {codes.Device},
	})
	return err
}

// connectDevice is the user's part: the form with the code, the login, and the page with the outcome.
func (c *client) connectDevice(ctx context.Context, userCode string) error {
	form, err := newForm(ctx, c.issuer+"/device/auth/verify_code", url.Values{"user_code": {userCode}})
	if err != nil {
		return err
	}
	begun, err := c.do(form, http.StatusFound)
	if err != nil {
		return err
	}
	end, err := c.signIn(ctx, begun)
	if err != nil {
		return err
	}
	issuer, err := url.Parse(c.issuer)
	if err != nil {
		return err
	}
	_, err = c.get(ctx, issuer.ResolveReference(end).String(), http.StatusOK)
	return err
}

// redeemUser gets tokens for a user, which must include an ID token.
func (c *client) redeemUser(ctx context.Context, application string, form url.Values) (tokens, error) {
	t, err := c.redeem(ctx, application, form)
	if err == nil && t.ID == "" {
		err = errors.New("the answer of the token endpoint has no ID token")
	}
	return t, err
}

func (c *client) redeem(ctx context.Context, application string, form url.Values) (tokens, error) {
	body, err := c.post(ctx, "/token", application, form)
	if err != nil {
		return tokens{}, err
	}
	var t tokens
	if err := json.Unmarshal(body, &t); err != nil {
		return tokens{}, fmt.Errorf("answer of the token endpoint: %w", err)
	}
	if t.Access == "" {
		return tokens{}, errors.New("the answer of the token endpoint has no access token")
	}
	return t, nil
}

// introspect asks about a token (RFC 7662) and checks whether it is active.
func (c *client) introspect(ctx context.Context, token string, active bool) error {
	body, err := c.post(ctx, "/token/introspect", clientID, url.Values{"token": {token}})
	if err != nil {
		return err
	}
	var answer struct {
		Active bool `json:"active"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("answer of the introspection endpoint: %w", err)
	}
	if answer.Active != active {
		return fmt.Errorf("token is active: %t, want %t", answer.Active, active)
	}
	return nil
}
