package relyingparty

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/wait"
)

const (
	// maxCalls is how many calls with one token run at once.
	maxCalls = 8
	// leastWait is how long to wait for a provider that asks for less.
	leastWait = time.Second
	// maxAnswers bounds all that the API answers in one login or refresh, in bytes.
	maxAnswers = 32 << 20
	// maxMoves is how often one call may be redirected.
	maxMoves = 3
)

// Calls are those to a provider's API with the access token of one user, for one login or refresh. They are safe for concurrent
// use.
type Calls struct {
	client        *http.Client
	header        http.Header
	authorization string
	until         time.Time // no wait for the provider's limits lasts longer
	slots         chan struct{}
	read          *atomic.Int64 // bytes of all answers
	remembered    *answers      // for conditional requests; nil for none
}

// As returns calls that are authorized by the access token. The header, which may be nil, is sent with each of them.
func (t *Tokens) As(client *http.Client, header http.Header) *Calls {
	scheme := t.Type
	if scheme == "" || strings.EqualFold(scheme, "bearer") {
		scheme = "Bearer"
	}
	return &Calls{
		client: client, header: header, authorization: scheme + " " + t.Access,
		until: time.Now().Add(patience), slots: make(chan struct{}, maxCalls), read: &atomic.Int64{},
	}
}

// As returns calls within the same bounds that are authorized by another token.
func (c *Calls) As(t *Tokens) *Calls {
	other := *c
	other.authorization = t.As(c.client, nil).authorization
	return &other
}

// With returns calls within the same bounds that have another header.
func (c *Calls) With(header http.Header) *Calls {
	other := *c
	other.header = header
	return &other
}

// Get asks for an address. An answer other than 200 is an error, mostly a *BearerError.
func (c *Calls) Get(ctx context.Context, address string) (*outbound.Answer, error) {
	return c.wanted(c.Do(ctx, http.MethodGet, address, nil))
}

// GetJSON asks for an address, and decodes the answer.
func (c *Calls) GetJSON(ctx context.Context, address string, into any) error {
	answer, err := c.Get(ctx, address)
	if err != nil {
		return err
	}
	return DecodeAnswer(answer, into)
}

// PostJSON sends a JSON document, and decodes the answer, which must be a 200 too.
func (c *Calls) PostJSON(ctx context.Context, address string, document, into any) error {
	content, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	answer, err := c.wanted(c.Do(ctx, http.MethodPost, address, content))
	if err != nil {
		return err
	}
	return DecodeAnswer(answer, into)
}

// DecodeAnswer decodes a JSON answer of an API.
func DecodeAnswer(answer *outbound.Answer, into any) error {
	err := json.Unmarshal(answer.Body, into)
	if err == nil {
		return nil
	}
	if kind := answer.MediaType(); kind != "" && !strings.HasSuffix(kind, "json") {
		return fmt.Errorf("the provider answers %s instead of JSON: %w", kind, err)
	}
	return fmt.Errorf("the provider's answer: %w", err)
}

// wanted turns an answer other than 200 into an error.
func (c *Calls) wanted(answer *outbound.Answer, err error) (*outbound.Answer, error) {
	switch {
	case err != nil:
		return nil, err
	case answer.Status == http.StatusOK:
		return answer, nil
	}
	return nil, AnswerError(answer)
}

// AnswerError returns the error for an answer of an API that is a refusal.
func AnswerError(answer *outbound.Answer) error {
	refused := ReadBearerError(answer)
	if isLimited(answer) {
		return &connector.Temporary{Cause: refused}
	}
	return connector.FromStatus(answer.Status, refused)
}

// Do makes a call, with a JSON document unless that is nil, and returns the answer whatever its status is. If the provider says
// that there were too many calls, and to try again soon, it does. A GET follows redirects on the same host.
func (c *Calls) Do(ctx context.Context, method, address string, document []byte) (*outbound.Answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for moves, waits := 0, 0; ; {
		answer, err := c.once(ctx, method, address, document)
		if err != nil {
			return nil, err
		}
		if to := movedTo(answer, method, address); to != "" && moves < maxMoves {
			moves++
			address = to
			continue
		}
		pause, ok := retryAfter(answer, time.Now(), waits)
		if !ok || !isLimited(answer) || time.Now().Add(pause).After(c.until) {
			return answer, nil
		}
		if err := wait.For(ctx, pause); err != nil {
			return nil, err
		}
		waits++
	}
}

func (c *Calls) once(ctx context.Context, method, address string, document []byte) (*outbound.Answer, error) {
	var content io.Reader = http.NoBody
	if document != nil {
		content = bytes.NewReader(document)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}
	for name, values := range c.header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	r.Header.Set("Authorization", c.authorization)
	if document != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	known, condition := c.remembered.ask(r)
	answer, err := outbound.Do(c.client, r)
	if err != nil {
		return nil, err
	}
	if c.read.Add(int64(len(answer.Body))) > maxAnswers {
		return nil, &connector.Unusable{
			Reason: "There is too much about your account to read here.",
			Cause:  fmt.Errorf("the provider's answers are longer than %d bytes", maxAnswers),
		}
	}
	if condition && answer.Status == http.StatusNotModified {
		return known, nil
	}
	c.remembered.keep(r, answer)
	return answer, nil
}

// movedTo returns where a GET is redirected to; empty for nowhere, or where the access token must not go.
func movedTo(answer *outbound.Answer, method, address string) string {
	switch answer.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		to, err := sameHost(address, answer.Header.Get("Location"))
		if method == http.MethodGet && err == nil {
			return to
		}
	}
	return ""
}

// isLimited reports whether a provider refuses a call because there were too many. GitHub and Google do so by 403 too, GitHub sometimes
// only by its message.
func isLimited(answer *outbound.Answer) bool {
	switch answer.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusForbidden:
		return answer.Header.Get("Retry-After") != "" || answer.Header.Get("X-RateLimit-Remaining") == "0" || isQuota(answer) ||
			strings.Contains(ReadBearerError(answer).Description, "secondary rate limit")
	}
	return false
}

// isQuota reports whether Google refuses a call because there were too many in a short time.
func isQuota(answer *outbound.Answer) bool {
	var said struct {
		Error struct {
			Status string `json:"status"`
			Errors []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if answer.Status != http.StatusForbidden && answer.Status != http.StatusTooManyRequests || json.Unmarshal(answer.Body, &said) != nil {
		return false
	}
	for _, e := range said.Error.Errors {
		switch e.Reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded":
			return true
		}
	}
	return said.Error.Status == "RESOURCE_EXHAUSTED"
}

// retryAfter returns how long to wait before the next call (RFC 9110, section 10.2.3); false if the answer doesn't say. Google
// doesn't, and wants pauses that double with each wait.
func retryAfter(answer *outbound.Answer, now time.Time, waits int) (time.Duration, bool) {
	text := answer.Header.Get("Retry-After")
	if text == "" && isQuota(answer) {
		return leastWait << min(waits, 10), true
	}
	if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
		return max(time.Duration(seconds)*time.Second, leastWait), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), leastWait), true
	}
	return 0, false
}
