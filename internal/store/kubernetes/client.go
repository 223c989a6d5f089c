package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

const (
	// requestTimeout bounds each request, watches aside.
	requestTimeout = 15 * time.Second
	// maxObject bounds what is read for one object, in bytes: more than etcd takes, with room for the encoding.
	maxObject = 4 << 20
	// tries is how often a read is sent at most.
	tries = 4
	// longestRetryAfter is how long the server may tell us to wait; where it says longer, the caller gets the error.
	longestRetryAfter = 5 * time.Second
)

// metadataOnly asks for the metadata of an object, or of each object of a list, without the rest.
const (
	metadataOnly       = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
	metadataOnlyOfList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"
)

var (
	errNoAnswer = fmt.Errorf("no answer within %v", requestTimeout)
	errBadName  = errors.New("not a valid name of an object")
)

// A client speaks with one API server about the objects of one namespace.
type client struct {
	http        *http.Client
	base        *url.URL
	namespace   string
	credentials credentials
}

// A request is one call. What accept and body leave empty is not sent; decode may be nil.
type request struct {
	method, url, accept string
	body                any
	decode              func(io.Reader) error
}

// object returns a request for one object. Every request that changes or deletes something there is gets its URL here:
// an empty name, or one that means something in a path, would make it the URL of the whole collection.
func (c *client) object(method string, r resource, name string) (request, error) {
	if !validName(name) {
		return request{}, fmt.Errorf("%s %s %q: %w", method, r.plural, name, errBadName)
	}
	return request{method: method, url: c.base.JoinPath(c.collectionPath(r), name).String()}, nil
}

// create returns a request that makes a new object.
func (c *client) create(r resource, object any) request {
	return request{method: http.MethodPost, url: c.base.JoinPath(c.collectionPath(r)).String(), body: object}
}

// collection returns a request that reads objects.
func (c *client) collection(r resource, query url.Values) request {
	u := c.base.JoinPath(c.collectionPath(r))
	u.RawQuery = query.Encode()
	return request{method: http.MethodGet, url: u.String()}
}

func (c *client) collectionPath(r resource) string {
	return "apis/" + groupVersion + "/namespaces/" + c.namespace + "/" + r.plural
}

// into returns a decoder of one object.
func into(v any) func(io.Reader) error {
	return func(body io.Reader) error {
		data, err := io.ReadAll(io.LimitReader(body, maxObject+1))
		if err != nil {
			return err
		}
		if len(data) > maxObject {
			return fmt.Errorf("an object of more than %d bytes", maxObject)
		}
		return json.Unmarshal(data, v)
	}
}

// send sends a request, and sends it again where that can't do its work twice.
func (c *client) send(ctx context.Context, r request) error {
	body, err := encodeBody(r.body)
	if err != nil {
		return fmt.Errorf("encode for %s %s: %w", r.method, r.url, err)
	}
	for try := 1; ; try++ {
		err := c.once(ctx, r, body)
		wait, again := retryIn(r.method, err, try)
		if !again {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func encodeBody(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// retryIn returns how long to wait before a request is sent once more, if at all. A write is sent again only if the
// server says that it did not begin with it.
func retryIn(method string, err error, try int) (time.Duration, bool) {
	e, ok := errors.AsType[*statusError](err)
	if !ok || try >= tries || e.retryAfter > longestRetryAfter {
		return 0, false
	}
	switch e.code {
	case http.StatusTooManyRequests:
		if e.retryAfter == 0 && method != http.MethodGet {
			return 0, false
		}
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if method != http.MethodGet {
			return 0, false
		}
	default:
		return 0, false
	}
	if e.retryAfter > 0 {
		return e.retryAfter, true
	}
	wait := 100 * time.Millisecond << try
	return wait/2 + rand.N(wait/2), true //nolint:gosec // jitter, not a secret
}

// once sends a request once; twice if its credentials are refused and there are newer ones, as the server did nothing
// then.
func (c *client) once(ctx context.Context, r request, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	answer, err := c.answer(ctx, r, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if r.decode == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxObject)) // so that the connection can be used again
		return nil
	}
	if err := r.decode(answer.Body); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.url, timedOut(ctx, err))
	}
	return nil
}

// answer returns the answer to a request that has succeeded. The caller closes its body.
func (c *client) answer(ctx context.Context, r request, body []byte) (*http.Response, error) {
	for {
		header := c.credentials.header()
		answer, err := c.roundTrip(ctx, r, body, header)
		if err != nil {
			return nil, timedOut(ctx, err)
		}
		if answer.StatusCode < 300 {
			return answer, nil
		}
		refusal := newStatusError(r.method, r.url, answer)
		_ = answer.Body.Close()
		if refusal.code != http.StatusUnauthorized || !c.credentials.refused(header) {
			return nil, refusal
		}
	}
}

func (c *client) roundTrip(ctx context.Context, r request, body []byte, authorization string) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, r.method, r.url, reader)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", "application/json")
	if r.accept != "" {
		q.Header.Set("Accept", r.accept)
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	q.Header.Set("User-Agent", "dex")
	if authorization != "" {
		q.Header.Set("Authorization", authorization)
	}
	return c.http.Do(q)
}

// timedOut tells the end of our own time from the end of the caller's, which callers must not mistake for each other.
func timedOut(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errNoAnswer) {
		return errNoAnswer
	}
	return err
}
