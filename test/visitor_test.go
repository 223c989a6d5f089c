package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

// A visitor is a person with a browser without scripts. Methods return errors, so that many visitors can run concurrently.
type visitor struct {
	http *http.Client
}

// newVisitor returns a visitor without cookies.
func newVisitor(transport http.RoundTripper) *visitor {
	jar, _ := cookiejar.New(nil) // the error is always nil
	return &visitor{http: &http.Client{
		Transport: transport,
		Jar:       jar,
		Timeout:   patience,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if isCallback(r.URL) {
				return http.ErrUseLastResponse
			}
			if len(via) > 10 {
				return errors.New("more than 10 redirects")
			}
			return nil
		},
	}}
}

func isCallback(u *url.URL) bool { return strings.HasPrefix(u.String(), callbackURL) }

// A page is where a visitor has arrived.
type page struct {
	url    *url.URL
	status int
	header http.Header
	body   string
	answer url.Values // the answer to the application, if the visitor came back to it
}

func (v *visitor) get(ctx context.Context, address string) (*page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return v.visit(r)
}

func (v *visitor) post(ctx context.Context, address string, form url.Values) (*page, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.visit(r)
}

func (v *visitor) visit(r *http.Request) (*page, error) {
	resp, err := v.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	p := &page{url: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: string(body)}
	if target, err := resp.Location(); err == nil && isCallback(target) {
		p.answer = target.Query()
	}
	return p, nil
}

// enterPassword submits the page's password form.
func (v *visitor) enterPassword(ctx context.Context, form *page, login, password string) (*page, error) {
	return v.post(ctx, form.url.String(), url.Values{"login": {login}, "password": {password}})
}

// answerConsent submits one of the consent page's forms.
func (v *visitor) answerConsent(ctx context.Context, form *page, answer string) (*page, error) {
	fields := url.Values{"req": {form.url.Query().Get("req")}, "approval": {answer}}
	return v.post(ctx, form.url.String(), fields)
}

// signIn follows an authorization request as the administrator, with password and consent if asked for, and returns the answer
// to the application.
func (v *visitor) signIn(ctx context.Context, authURL string) (url.Values, error) {
	p, err := v.get(ctx, authURL)
	if err == nil && strings.HasSuffix(p.url.Path, "/login") {
		p, err = v.enterPassword(ctx, p, adminEmail, adminPassword)
	}
	if err == nil && strings.HasSuffix(p.url.Path, "/approval") {
		p, err = v.answerConsent(ctx, p, "approve")
	}
	if err != nil {
		return nil, err
	}
	if p.answer == nil {
		return nil, fmt.Errorf("the login ends with status %d at %s", p.status, p.url.Path)
	}
	return p.answer, nil
}

// A tokenAnswer is an answer from the token endpoint.
type tokenAnswer struct {
	status       int
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Error        string `json:"error"`
}

// token sends a token request of the example application.
func (d *dex) token(ctx context.Context, form url.Values) (*tokenAnswer, error) {
	return d.tokenAs(ctx, clientID, clientSecret, form)
}

// tokenAs sends a token request of a client.
func (d *dex) tokenAs(ctx context.Context, id, secret string, form url.Values) (*tokenAnswer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.endpoint("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	p, err := newVisitor(d.transport).visit(r)
	if err != nil {
		return nil, err
	}
	answer := &tokenAnswer{status: p.status}
	if err := json.Unmarshal([]byte(p.body), answer); err != nil {
		return nil, fmt.Errorf("token endpoint, status %d: %w", p.status, err)
	}
	return answer, nil
}

func (d *dex) redeem(ctx context.Context, code string) (*tokenAnswer, error) {
	return d.token(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callbackURL}})
}

func (d *dex) refresh(ctx context.Context, token string) (*tokenAnswer, error) {
	return d.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// login signs a user in through a connector, with a new browser, and returns the tokens. Any status but 200 is an error.
func (d *dex) login(ctx context.Context, connector string) (*tokenAnswer, error) {
	answer, err := newVisitor(d.transport).signIn(ctx, d.authURL("/auth/"+connector, nil))
	if err != nil {
		return nil, err
	}
	tokens, err := d.redeem(ctx, answer.Get("code"))
	if err != nil {
		return nil, err
	}
	if tokens.status != http.StatusOK || tokens.RefreshToken == "" {
		return nil, fmt.Errorf("the code gives status %d, error %q", tokens.status, tokens.Error)
	}
	return tokens, nil
}

// mustLogin is login for tests about what comes after.
func (d *dex) mustLogin(t *testing.T, connector string) *tokenAnswer {
	t.Helper()
	tokens, err := d.login(t.Context(), connector)
	if err != nil {
		t.Fatalf("login with %s: %v", connector, err)
	}
	return tokens
}

// mustRefresh presents a refresh token and expects any answer.
func (d *dex) mustRefresh(t *testing.T, token string) *tokenAnswer {
	t.Helper()
	answer, err := d.refresh(t.Context(), token)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return answer
}

// fetch gets a page without following redirects.
func (d *dex) fetch(t *testing.T, address string) (status int, body string) {
	t.Helper()
	p, err := newVisitor(d.transport).get(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return p.status, p.body
}
