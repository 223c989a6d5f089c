package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"dex/internal/admin"
	"dex/internal/limit"
	"dex/internal/telemetry"
)

// problemType begins the type of a problem; the rest is its name.
const problemType = "urn:dex:problem:"

// A statusError is an error of HTTP rather than of a method.
type statusError struct {
	status        int
	name, message string
}

func (e *statusError) Error() string { return e.message }

// malformed returns the error for a request that can't be understood.
func malformed(message string) error {
	return &statusError{http.StatusBadRequest, "malformed", message}
}

// reasons has the status and the name of each reason for which a call fails.
var reasons = map[admin.Reason]struct {
	status int
	name   string
}{
	admin.Unavailable:     {http.StatusServiceUnavailable, "unavailable"},
	admin.Unauthenticated: {http.StatusUnauthorized, "unauthenticated"},
	admin.Forbidden:       {http.StatusForbidden, "forbidden"},
	admin.Invalid:         {http.StatusUnprocessableEntity, "invalid"},
	admin.NotFound:        {http.StatusNotFound, "notFound"},
	admin.Exists:          {http.StatusConflict, "exists"},
	admin.Conflict:        {http.StatusPreconditionFailed, "changed"},
	admin.ReadOnly:        {http.StatusConflict, "readOnly"},
	admin.Exhausted:       {http.StatusTooManyRequests, "exhausted"},
	admin.Disabled:        {http.StatusNotImplemented, "disabled"},
}

// A problem is an error as a caller sees it (RFC 9457).
type problem struct {
	Type      string         `key:"type" required:"true"`
	Title     string         `key:"title" required:"true"`
	Status    int            `key:"status" required:"true"`
	Detail    string         `key:"detail" required:"true"`
	Errors    []memberDetail `key:"errors"`
	RequestID string         `key:"requestID" required:"true"`
}

type memberDetail struct {
	Member string `key:"member" required:"true"`
	Detail string `key:"detail" required:"true"`
}

// fail answers with an error.
func (c *call) fail(err error) {
	p := problemOf(err)
	p.RequestID = telemetry.RequestID(c.Context())
	header := c.w.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="dex"`)
	case http.StatusTooManyRequests:
		if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
			header.Set("Retry-After", strconv.Itoa(exceeded.Seconds()))
		}
	}
	header.Del("ETag")
	c.write(p.Status, "application/problem+json", p)
}

func problemOf(err error) problem {
	p := problem{Status: http.StatusInternalServerError, Type: "internal", Detail: err.Error()}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p.Status, p.Type, p.Detail = http.StatusServiceUnavailable, "timeout", "it took too long, or the caller hung up"
	default:
		if e, ok := errors.AsType[*statusError](err); ok {
			p.Status, p.Type = e.status, e.name
		} else if e, ok := errors.AsType[*admin.Error](err); ok {
			// The cause is for the log: it may name what callers need not know of the storage.
			p.Status, p.Type, p.Detail = reasons[e.Reason].status, reasons[e.Reason].name, e.Message
			for _, m := range e.Members {
				p.Errors = append(p.Errors, memberDetail{m.Name, m.Message})
			}
		} else if !errors.Is(err, errBroken) {
			p.Detail = errBroken.Error()
		}
	}
	p.Type, p.Title = problemType+p.Type, http.StatusText(p.Status)
	return p
}

// answer sends a value.
func (c *call) answer(status int, value any) error {
	c.write(status, "application/json", value)
	return nil
}

// write sends a value as JSON. Nobody is told if the caller has gone meanwhile.
func (c *call) write(status int, contentType string, value any) {
	var body []byte
	if raw, ok := value.(json.RawMessage); ok {
		body = raw
	} else {
		body = append(encode(value), '\n')
	}
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}
