// Package kubeapi speaks with the API server of a Kubernetes cluster: where it is and who we are, requests for objects, lists
// page by page, watches.
//
// There is no client library behind it. We need a dozen requests with a few types; the library would make the
// program half as large again, and keep copies of objects that we never ask for.
package kubeapi

import (
	"bytes"
	"cmp"
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

const (
	// MetadataOnly asks for the metadata of an object without the rest; metadataOnlyList for that of each object of a list.
	MetadataOnly     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
	metadataOnlyList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json"
)

var (
	// ErrNoAnswer says that the server took too long.
	ErrNoAnswer = fmt.Errorf("no answer within %v", requestTimeout)
	// ErrBadName says that no object can have the name.
	ErrBadName = errors.New("not a valid name of an object")
)

// A Client speaks with one API server. It is safe for concurrent use.
type Client struct {
	http        *http.Client
	transport   *http.Transport // of http, without what a test has put around it; nil in tests
	base        *url.URL
	namespace   string
	credentials credentials
}

// A Collection is the objects of one resource in one namespace; the resource is in the plural, as in addresses.
type Collection struct {
	Group, Version, Namespace, Resource string
}

// path returns the path of the collection. The oldest objects, such as secrets, have no group.
func (c Collection) path() string {
	above := "apis/" + c.Group
	if c.Group == "" {
		above = "api"
	}
	return above + "/" + c.Version + "/namespaces/" + c.Namespace + "/" + c.Resource
}

// A Request is one call. What Accept, ContentType and Body leave empty is not sent; Decode may be nil.
type Request struct {
	Method, URL, Accept string
	Body                any
	ContentType         string // of Body; empty means JSON
	Decode              func(io.Reader) error
}

// Namespace returns the namespace that the configuration names: that of the pod, or of the kubeconfig's context.
func (c *Client) Namespace() string { return c.namespace }

// Server returns the address of the API server.
func (c *Client) Server() string { return c.base.String() }

// Close closes the connections that no request uses.
func (c *Client) Close() {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// Object returns a request for one object. Every request that changes or deletes something there is gets its URL here:
// an empty name, or one that means something in a path, would make it the URL of the whole collection.
func (c *Client) Object(method string, in Collection, name string) (Request, error) {
	if !ValidName(name) {
		return Request{}, fmt.Errorf("%s %s %q: %w", method, in.Resource, name, ErrBadName)
	}
	return Request{Method: method, URL: c.base.JoinPath(in.path(), name).String()}, nil
}

// Create returns a request that makes a new object.
func (c *Client) Create(in Collection, object any) Request {
	return Request{Method: http.MethodPost, URL: c.base.JoinPath(in.path()).String(), Body: object}
}

// CreateAt is Create for objects of the whole cluster, such as definitions of resources.
func (c *Client) CreateAt(path string, object any) Request {
	return Request{Method: http.MethodPost, URL: c.base.JoinPath(path).String(), Body: object}
}

// collection returns a request that reads objects.
func (c *Client) collection(in Collection, query url.Values) Request {
	u := c.base.JoinPath(in.path())
	u.RawQuery = query.Encode()
	return Request{Method: http.MethodGet, URL: u.String()}
}

// Into returns a decoder of one object.
func Into(v any) func(io.Reader) error {
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

// Send sends a request, and sends it again where that can't do its work twice.
func (c *Client) Send(ctx context.Context, r Request) error {
	body, err := encodeBody(r.Body)
	if err != nil {
		return fmt.Errorf("encode for %s %s: %w", r.Method, r.URL, err)
	}
	for try := 1; ; try++ {
		err := c.once(ctx, r, body)
		wait, again := retryIn(r.Method, err, try)
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
	e, ok := errors.AsType[*StatusError](err)
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
	if e.retryAfter > 0 { // not all at once, as they would be too many again
		return e.retryAfter + rand.N(e.retryAfter/2), true //nolint:gosec // jitter, not a secret
	}
	wait := 100 * time.Millisecond << try
	return wait/2 + rand.N(wait/2), true //nolint:gosec // jitter, not a secret
}

// once sends a request once; twice if its credentials are refused and there are newer ones, as the server did nothing
// then.
func (c *Client) once(ctx context.Context, r Request, body []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrNoAnswer)
	defer cancel()
	answer, err := c.answer(ctx, r, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if r.Decode == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxObject)) // so that the connection can be used again
		return nil
	}
	if err := r.Decode(answer.Body); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.Method, r.URL, timedOut(ctx, err))
	}
	return nil
}

// answer returns the answer to a request that has succeeded. The caller closes its body.
func (c *Client) answer(ctx context.Context, r Request, body []byte) (*http.Response, error) {
	for {
		header := c.credentials.header()
		answer, err := c.roundTrip(ctx, r, body, header)
		if err != nil {
			return nil, timedOut(ctx, err)
		}
		if answer.StatusCode < 300 {
			return answer, nil
		}
		refusal := newStatusError(r.Method, r.URL, answer)
		_ = answer.Body.Close()
		if refusal.code != http.StatusUnauthorized || !c.credentials.refused(header) {
			return nil, refusal
		}
	}
}

func (c *Client) roundTrip(ctx context.Context, r Request, body []byte, authorization string) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, r.Method, r.URL, reader)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", "application/json")
	if r.Accept != "" {
		q.Header.Set("Accept", r.Accept)
	}
	if body != nil {
		q.Header.Set("Content-Type", cmp.Or(r.ContentType, "application/json"))
	}
	q.Header.Set("User-Agent", "dex")
	if authorization != "" {
		q.Header.Set("Authorization", authorization)
	}
	return c.http.Do(q)
}

// timedOut tells the end of our own time from the end of the caller's, which callers must not mistake for each other.
func timedOut(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), ErrNoAnswer) {
		return ErrNoAnswer
	}
	return err
}
