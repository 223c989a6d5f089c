package relyingparty

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/outbound"
	"dex/internal/wait"
)

const (
	// maxCalls is how many calls with one token run at once.
	maxCalls = 8
	// patience bounds all waiting for a provider that limits the rate of calls, during one login or refresh.
	patience = 15 * time.Second
	// leastWait is how long to wait for a provider that asks for less.
	leastWait = time.Second
	// maxPages bounds a list.
	maxPages = 200
)

// Calls are those to a provider's API with the access token of one user, for one login or refresh. They are safe for concurrent
// use.
type Calls struct {
	client        *http.Client
	header        http.Header
	authorization string
	until         time.Time // no wait for the provider's limits lasts longer
	slots         chan struct{}
}

// As returns calls that are authorized by the access token. The header, which may be nil, is sent with each of them.
func (t *Tokens) As(client *http.Client, header http.Header) *Calls {
	scheme := t.Type
	if scheme == "" || strings.EqualFold(scheme, "bearer") {
		scheme = "Bearer"
	}
	return &Calls{
		client: client, header: header, authorization: scheme + " " + t.Access,
		until: time.Now().Add(patience), slots: make(chan struct{}, maxCalls),
	}
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
	return decode(answer, into)
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
	return decode(answer, into)
}

func decode(answer *outbound.Answer, into any) error {
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return fmt.Errorf("the provider's answer: %w", err)
	}
	return nil
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
// that there were too many calls, and to try again soon, it does.
func (c *Calls) Do(ctx context.Context, method, address string, document []byte) (*outbound.Answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for {
		answer, err := c.once(ctx, method, address, document)
		if err != nil {
			return nil, err
		}
		pause, ok := retryAfter(answer, time.Now())
		if !ok || !isLimited(answer) || time.Now().Add(pause).After(c.until) {
			return answer, nil
		}
		if err := wait.For(ctx, pause); err != nil {
			return nil, err
		}
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
	return outbound.Do(c.client, r)
}

// isLimited reports whether a provider refuses a call because there were too many. GitHub does so by 403 too.
func isLimited(answer *outbound.Answer) bool {
	switch answer.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	case http.StatusForbidden:
		return answer.Header.Get("Retry-After") != "" || answer.Header.Get("X-RateLimit-Remaining") == "0"
	}
	return false
}

// retryAfter returns how long to wait before the next call (RFC 9110, section 10.2.3); false if the answer doesn't say.
func retryAfter(answer *outbound.Answer, now time.Time) (time.Duration, bool) {
	text := answer.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
		return max(time.Duration(seconds)*time.Second, leastWait), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), leastWait), true
	}
	return 0, false
}

// Pages reads a list page by page: read returns the address of the next page, which may be relative, or nothing after the last.
// The access token is sent only to the host of the first page. The error may be a *connector.Unusable: the list is too long.
func (c *Calls) Pages(ctx context.Context, first string, read func(*outbound.Answer) (next string, err error)) error {
	page, err := url.Parse(first)
	if err != nil {
		return err
	}
	for range maxPages {
		answer, err := c.Get(ctx, page.String())
		if err != nil {
			return err
		}
		next, err := read(answer)
		if err != nil || next == "" {
			return err
		}
		to, err := page.Parse(next)
		if err != nil {
			return fmt.Errorf("next page: %w", err)
		}
		if to.Scheme != page.Scheme || to.Host != page.Host {
			return fmt.Errorf("next page: it is at %s://%s, and the list at %s://%s", to.Scheme, to.Host, page.Scheme, page.Host)
		}
		page = to
	}
	return &connector.Unusable{
		Reason: "There is more about your account than can be read here.",
		Cause:  fmt.Errorf("%s has more than %d pages", page.Redacted(), maxPages),
	}
}

// NextLink returns the address of the page after an answer's, as its header Link says (RFC 8288); empty for none.
func NextLink(answer *outbound.Answer) string {
	for _, line := range answer.Header.Values("Link") {
		for line != "" {
			_, rest, found := strings.Cut(line, "<")
			if !found {
				break
			}
			target, rest, _ := strings.Cut(rest, ">")
			params, more, _ := strings.Cut(rest, "<") // which no parameter here has
			if isNext(params) {
				return target
			}
			line = "<" + more
			if more == "" {
				break
			}
		}
	}
	return ""
}

// isNext reports whether the parameters of a link have next among its relations.
func isNext(params string) bool {
	for param := range strings.FieldsFuncSeq(params, func(r rune) bool { return r == ';' || r == ',' }) {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for relation := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(relation, "next") {
				return true
			}
		}
	}
	return false
}
