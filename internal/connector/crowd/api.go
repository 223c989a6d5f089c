package crowd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"dex/internal/connector"
	"dex/internal/outbound"
)

// api makes the calls to Crowd.
type api struct {
	base     string // without a slash at the end
	id       string // of the application
	password string
	client   *http.Client
}

// A user is Crowd's record of somebody.
type user struct {
	Key    string `json:"key"`
	Name   string `json:"name"`
	Email  string `json:"email"`
	Active *bool  `json:"active"`
}

// Reasons that Crowd gives for refusing a user.
const (
	reasonWrong    = "INVALID_USER_AUTHENTICATION"
	reasonNotFound = "USER_NOT_FOUND"
	reasonInactive = "INACTIVE_ACCOUNT"
	reasonExpired  = "EXPIRED_CREDENTIAL"
	reasonNotHere  = "APPLICATION_ACCESS_DENIED"
)

// A refusal is an answer other than the expected one.
type refusal struct {
	call   string
	status int
	reason string // Crowd's code for it; empty if it gave none
}

func (r *refusal) Error() string {
	if r.reason == "" {
		return fmt.Sprintf("%s: crowd answers %d", r.call, r.status)
	}
	return fmt.Sprintf("%s: crowd answers %d %s", r.call, r.status, r.reason)
}

// reasonOf returns the reason of a refusal; empty for other errors.
func reasonOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.reason
	}
	return ""
}

// A session is a user's login at Crowd, valid for all applications there.
type session struct {
	Token string `json:"token"`
}

// authenticate checks a password. The error may be a *refusal.
func (a *api) authenticate(ctx context.Context, username, password string) (session, error) {
	return a.makeSession(ctx, "/session", map[string]string{"username": username, "password": password})
}

// vouch makes a session without a password. Crowd does that only for users who may log in. The error may be a *refusal.
func (a *api) vouch(ctx context.Context, username string) (session, error) {
	return a.makeSession(ctx, "/session?validate-password=false", map[string]string{"username": username})
}

func (a *api) makeSession(ctx context.Context, path string, who map[string]string) (session, error) {
	content, err := json.Marshal(who)
	if err != nil {
		return session{}, fmt.Errorf("encode user: %w", err)
	}
	var made session
	err = a.call(ctx, request{"make session", http.MethodPost, path, content, http.StatusCreated}, &made)
	return made, err
}

// end ends a session.
func (a *api) end(ctx context.Context, s session) error {
	return a.call(ctx, request{"end session", http.MethodDelete, "/session/" + url.PathEscape(s.Token), nil, http.StatusNoContent}, nil)
}

// ping asks for something small that Crowd tells only applications that it knows.
func (a *api) ping(ctx context.Context) error {
	return a.call(ctx, request{"read settings", http.MethodGet, "/config/cookie", nil, http.StatusOK}, nil)
}

// user returns a user's record. The error may be a *refusal.
func (a *api) user(ctx context.Context, name string) (*user, error) {
	var u user
	path := "/user?" + url.Values{"username": {name}}.Encode()
	err := a.call(ctx, request{"read user", http.MethodGet, path, nil, http.StatusOK}, &u)
	if err == nil && (u.Key == "" || u.Name == "") {
		err = errors.New("read user: crowd's answer has no key, or no name")
	}
	return &u, err
}

const (
	// pageSize is how many groups are asked for at once: Crowd's own default.
	pageSize = 1000
	// maxGroups bounds the groups of a user.
	maxGroups = 20_000
)

// groups returns the names of the groups that a user is in, directly or through another group.
func (a *api) groups(ctx context.Context, name string) ([]string, error) {
	var names []string
	for len(names) <= maxGroups {
		var page struct {
			Groups []struct {
				Name string `json:"name"`
			} `json:"groups"`
		}
		query := url.Values{"username": {name}, "max-results": {strconv.Itoa(pageSize)}}
		if len(names) > 0 {
			query.Set("start-index", strconv.Itoa(len(names)))
		}
		path := "/user/group/nested?" + query.Encode()
		if err := a.call(ctx, request{"read groups", http.MethodGet, path, nil, http.StatusOK}, &page); err != nil {
			return nil, err
		}
		for _, g := range page.Groups {
			names = append(names, g.Name)
		}
		if len(page.Groups) < pageSize {
			return names, nil
		}
	}
	return nil, &connector.Unusable{
		Reason: "Your account is in too many groups to use here.", Cause: fmt.Errorf("read groups: there are more than %d", maxGroups),
	}
}

// A request is a call to Crowd. Errors have its name and not its path, which has the user's name or a session in it.
type request struct {
	name         string
	method, path string
	content      []byte // JSON; nil for none
	want         int    // the status
}

// call makes a request and decodes the answer, if the caller wants it.
func (a *api) call(ctx context.Context, q request, into any) error {
	r, err := http.NewRequestWithContext(ctx, q.method, a.base+"/rest/usermanagement/1"+q.path, bytes.NewReader(q.content))
	if err != nil {
		return fmt.Errorf("%s: %w", q.name, errors.Unwrap(err))
	}
	r.SetBasicAuth(a.id, a.password)
	r.Header.Set("Accept", "application/json")
	if q.content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := outbound.Do(a.client, r)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", a.base, q.name, errors.Unwrap(err)) // without the path
	}
	if answer.Status != q.want {
		return a.refused(q.name, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("%s: crowd's answer: %w", q.name, err)
	}
	return nil
}

// refused returns what an unexpected answer means. Two of them are about us, not about the user.
func (a *api) refused(call string, answer *outbound.Answer) error {
	body := string(answer.Body)
	switch {
	case answer.Status == http.StatusForbidden &&
		strings.Contains(body, "The server understood the request but refuses to authorize it."):
		return fmt.Errorf("%s does not let this host in: add its address to those of the application %q in Crowd", a.base, a.id)
	case answer.Status == http.StatusUnauthorized && strings.TrimSpace(body) == "Application failed to authenticate":
		return fmt.Errorf("%s refuses clientID %q or clientSecret", a.base, a.id)
	case answer.Status >= http.StatusMultipleChoices && answer.Status < http.StatusBadRequest:
		return fmt.Errorf("%s answers %d, a redirect: baseURL must be the address that it leads to", a.base, answer.Status)
	}
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(answer.Body, &said) != nil || !isWord(said.Reason) {
		said.Reason = ""
	}
	return connector.FromStatus(answer.Status, &refusal{call: call, status: answer.Status, reason: said.Reason})
}

// isWord reports whether a text looks like one of Crowd's reasons, so that no other text gets into a log.
func isWord(text string) bool {
	return len(text) <= 64 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}
