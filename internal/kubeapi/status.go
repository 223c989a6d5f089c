package kubeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// A status is what the API server says when it does not do what it was asked to.
type status struct {
	Kind     string `json:"kind"`
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Details struct {
		Name              string `json:"name"`
		Kind              string `json:"kind"`
		RetryAfterSeconds int    `json:"retryAfterSeconds"`
	} `json:"details"`
}

// A StatusError is an answer other than success.
type StatusError struct {
	method, url string
	code        int
	status      status
	retryAfter  time.Duration // zero where the server does not say
}

func (e *StatusError) Error() string {
	const longest = 512
	message := e.status.Message
	if message == "" {
		message = http.StatusText(e.code)
	}
	return fmt.Sprintf("%s %s: status %d: %.*s", e.method, e.url, e.code, longest, message)
}

// newStatusError reads an answer other than success. The body may be anything, such as the page of a proxy.
func newStatusError(method, url string, answer *http.Response) *StatusError {
	const longest = 64 << 10
	e := &StatusError{method: method, url: url, code: answer.StatusCode}
	body, err := io.ReadAll(io.LimitReader(answer.Body, longest))
	if err == nil && (json.Unmarshal(body, &e.status) != nil || e.status.Kind != "Status") {
		e.status = status{}
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if err != nil {
		seconds = e.status.Details.RetryAfterSeconds
	}
	e.retryAfter = time.Duration(min(max(seconds, 0), 3600)) * time.Second
	return e
}

// HasCode reports whether an error is an answer with a status code.
func HasCode(err error, code int) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.code == code
}

// IsTaken reports whether an error says that an object of the name is there already.
func IsTaken(err error) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.code == http.StatusConflict && e.status.Reason == "AlreadyExists"
}

// Absent reports whether an error says that the object is not there. The same code may also mean that the resource, the
// namespace or the whole path does not exist, which says nothing about the object.
func Absent(err error, name string) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.code == http.StatusNotFound && e.status.Kind == "Status" && e.status.Details.Name == name
}
