package backchannel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dex/internal/outbound"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// tryTimeout bounds an attempt, from finding the client to the last byte of its answer.
	tryTimeout = 5 * time.Second
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 4 << 10
)

// errNobody says that nobody wants a logout token: the client is gone, or has no URI for them.
var errNobody = errors.New("the client doesn't want logout tokens")

// A receiver is where the logout tokens of a client go.
type receiver struct {
	url       *url.URL
	guard     *outbound.Guard
	algorithm string // of its tokens; empty for the server's
}

// receiver returns where the logout tokens of a client go, as it was written last; errNobody if it wants none.
func (q *Queue) receiver(ctx context.Context, clientID string) (*receiver, error) {
	settings := q.cfg.Settings()
	records := settings.Clients.Records()
	e, err := records.Fresh(ctx, clientID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, errNobody
	case err != nil:
		return nil, err
	case e.Value.BackchannelLogoutURI == "":
		return nil, errNobody
	}
	to := &receiver{guard: settings.Guard, algorithm: e.Value.TokenSettings().IDTokenSignedResponseAlg}
	if records.Configured(clientID) {
		to.guard = q.operator
	}
	if to.url, err = url.Parse(e.Value.BackchannelLogoutURI); err != nil {
		return nil, fmt.Errorf("backchannelLogoutURI: %w", err)
	}
	return to, nil
}

// hostOf returns the host that a client's logout tokens go to, from memory if possible: of a long queue it is asked for each.
func (q *Queue) hostOf(ctx context.Context, clientID string) string {
	c, err := q.cfg.Settings().Clients.Get(ctx, clientID)
	if err != nil {
		return ""
	}
	u, err := url.Parse(c.BackchannelLogoutURI)
	if err != nil {
		return ""
	}
	return u.Host
}

// errGone says that the receiver never wants to be asked again.
var errGone = errors.New("the receiver is gone (410)")

// try tells a client once. The error is nil if the client says that it has ended the session.
func (q *Queue) try(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	to, err := q.receiver(ctx, d.ClientID)
	if err != nil {
		return err
	}
	text, err := q.cfg.Minter.LogoutToken(ctx, token.Logout{
		TokenID: d.TokenID, ClientID: d.ClientID, Subject: d.Subject, SessionID: d.SessionID, Algorithm: to.algorithm,
	})
	if err != nil {
		return err
	}
	form := url.Values{"logout_token": {text}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url.String(), strings.NewReader(form))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cache-Control", "no-cache, no-store")
	answer, err := q.send(to.guard, r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the URL, whose query may have a secret
	}
	if to.guard != q.operator && errors.Is(err, outbound.ErrInward) {
		return fmt.Errorf("%w; exceptions for stored clients are in sessions.logoutHosts", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // nothing in it matters
	return judge(answer)
}

// judge returns nil if an answer says that the session has ended (OpenID Connect Back-Channel Logout, section 2.8).
func judge(answer *http.Response) error {
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return errGone
	case status == http.StatusBadRequest:
		return fmt.Errorf("the receiver answers with status 400%s", reason(answer.Body))
	default:
		return fmt.Errorf("the receiver answers with status %d", status)
	}
}

// reason returns what a receiver says of its failure, for the log.
func reason(body io.Reader) string {
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	const longest = 200
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil || json.Unmarshal(text, &said) != nil || said.Error == "" {
		return ""
	}
	return fmt.Sprintf(": %.*q %.*q", longest, said.Error, longest, said.Description)
}
