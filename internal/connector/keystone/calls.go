package keystone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// What Keystone may answer.
var (
	errUnauthorized = errors.New("keystone refuses the name and password, or the token")
	errForbidden    = errors.New("keystone does not allow it")
	errNotFound     = errors.New("keystone does not know the user")
	errElsewhere    = errors.New("keystone: it leads elsewhere, where passwords are not sent: set keystoneHost to that address")
)

// A user is a record in Keystone.
type user struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Enabled *bool  `json:"enabled"`
}

// A token is what Keystone issues for a password.
type token struct {
	secret           string
	userID, userName string
	expires          time.Time
}

type object = map[string]any

// passwordOf is the request for a token with a password.
func passwordOf(username string, d domain, password string) object {
	return object{"methods": []string{"password"}, "password": object{
		"user": object{"name": username, "domain": d, "password": password},
	}}
}

// call makes a request and returns the answer.
func (s *source) call(ctx context.Context, method, path, secret string, body any) (*outbound.Answer, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.cfg.Host+path, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("keystone: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if secret != "" {
		r.Header.Set("X-Auth-Token", secret)
	}
	answer, err := outbound.Do(s.client, r)
	if err != nil {
		return nil, fmt.Errorf("keystone: %w", err)
	}
	if answer.Status >= http.StatusMultipleChoices && answer.Status < http.StatusBadRequest {
		return nil, fmt.Errorf("%w (%d)", errElsewhere, answer.Status)
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return answer, errUnauthorized
	case http.StatusForbidden:
		return answer, errForbidden
	case http.StatusNotFound:
		return answer, errNotFound
	}
	return answer, nil
}

// authenticate gets a token. The error is errUnauthorized if the name or the password is wrong, and a *connector.Denied if
// Keystone asks for a second factor.
func (s *source) authenticate(ctx context.Context, identity object) (*token, error) {
	answer, err := s.call(ctx, http.MethodPost, "/v3/auth/tokens/", "", object{"auth": object{"identity": identity}})
	if errors.Is(err, errUnauthorized) && passwordExpired(answer.Body) {
		return nil, &connector.Denied{Reason: "Your password has expired. Change it, then log in again."}
	}
	if errors.Is(err, errUnauthorized) && answer.Header.Get("Openstack-Auth-Receipt") != "" {
		return nil, &connector.Denied{Reason: "Your account needs a second factor, which this login can't ask for."}
	}
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusCreated {
		return nil, connector.FromStatus(answer.Status, fmt.Errorf("keystone: token request: answer %d", answer.Status))
	}
	var body struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			User      struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"user"`
		} `json:"token"`
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return nil, fmt.Errorf("keystone: token request: %w", err)
	}
	t := &token{
		secret: answer.Header.Get("X-Subject-Token"), expires: body.Token.ExpiresAt,
		userID: body.Token.User.ID, userName: body.Token.User.Name,
	}
	if t.secret == "" || t.userID == "" {
		return nil, errors.New("keystone: token request: the answer has no token or no user")
	}
	return t, nil
}

// passwordExpired reports whether Keystone says that the password has expired. It says so only if the password was right.
func passwordExpired(body []byte) bool {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	return json.Unmarshal(body, &e) == nil && strings.HasPrefix(e.Error.Message, "The password is expired")
}

// user returns a user's record.
func (s *source) user(ctx context.Context, secret, id string) (*user, error) {
	var body struct {
		User user `json:"user"`
	}
	if err := s.get(ctx, "/v3/users/"+url.PathEscape(id), secret, &body); err != nil {
		return nil, err
	}
	if body.User.ID != id {
		return nil, errors.New("keystone: the record is another user's")
	}
	return &body.User, nil
}

// groups returns the names of a user's groups.
func (s *source) groups(ctx context.Context, secret, id string) ([]string, error) {
	var body struct {
		Groups []struct {
			Name string `json:"name"`
		} `json:"groups"`
		Truncated bool `json:"truncated"`
	}
	if err := s.get(ctx, "/v3/users/"+url.PathEscape(id)+"/groups", secret, &body); err != nil {
		return nil, err
	}
	if body.Truncated {
		return nil, &connector.Unusable{
			Reason: "Your account is in too many groups to use here.",
			Cause:  errors.New("keystone: the list of the user's groups is truncated: raise list_limit there"),
		}
	}
	var names []string
	for _, g := range body.Groups {
		names = append(names, g.Name)
	}
	return names, nil
}

func (s *source) get(ctx context.Context, path, secret string, into any) error {
	answer, err := s.call(ctx, http.MethodGet, path, secret, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if answer.Status != http.StatusOK {
		return connector.FromStatus(answer.Status, fmt.Errorf("%s: keystone answers %d", path, answer.Status))
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Probe implements connector.Prober. It asks for the API's version.
func (s *source) Probe(ctx context.Context) error {
	answer, err := s.call(ctx, http.MethodGet, "/v3", "", nil)
	if errors.Is(err, errElsewhere) { // Apache redirects to the path with a slash: try that at the same host
		answer, err = s.call(ctx, http.MethodGet, "/v3/", "", nil)
	}
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK {
		return connector.FromStatus(answer.Status, fmt.Errorf("keystone: /v3 answers %d", answer.Status))
	}
	return nil
}

// admin keeps the token of the account that asks about users.
type admin struct {
	mu    sync.Mutex // never held over I/O
	token *token
}

// tokenMargin is how long before its expiry a token is no longer used.
const tokenMargin = time.Minute

// asAdmin does something with the administrator's token. If the token is refused, it tries once more with a new one.
func (s *source) asAdmin(ctx context.Context, do func(secret string) error) error {
	if t := s.admin.current(); t != nil {
		if err := do(t.secret); !errors.Is(err, errUnauthorized) {
			return err
		}
	}
	t, err := s.authenticate(ctx, s.adminIdentity())
	if connector.OutcomeOf(err).RetryHelps() {
		return fmt.Errorf("the account that asks about users: %w", err)
	}
	if err != nil {
		return fmt.Errorf("the account that asks about users: %v", err) //nolint:errorlint // a refusal of this account is not one of the user
	}
	s.admin.keep(t)
	return do(t.secret)
}

func (s *source) adminIdentity() object {
	c := s.cfg
	if c.ApplicationCredentialID != "" {
		return object{"methods": []string{"application_credential"}, "application_credential": object{
			"id": c.ApplicationCredentialID, "secret": c.ApplicationCredentialSecret,
		}}
	}
	in := c.AdminDomain
	if in == "" {
		in = c.Domain
	}
	return passwordOf(c.AdminUsername, domainOf(in), c.AdminPassword)
}

func (a *admin) current() *token {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == nil || time.Until(a.token.expires) < tokenMargin {
		return nil
	}
	return a.token
}

func (a *admin) keep(t *token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = t
}
