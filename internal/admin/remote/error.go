package remote

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// An UnreachableError says that the server couldn't be asked, or that its answer didn't arrive.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s can't be asked: %v\nIs the address right (--server or %s), and does the server have an api section?",
		e.Server, e.Err, envServer)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// A Refused call is one that the server has answered with an error.
type Refused struct {
	Status  int      `json:"-"`
	Title   string   `json:"title"`
	Detail  string   `json:"detail"`
	Members []Member `json:"errors"`

	server    string
	requestID string
}

// A Member is one of the values sent that isn't valid.
type Member struct {
	Name   string `json:"member"` // as in the configuration file, such as redirectURIs[1]
	Detail string `json:"detail"`
}

// refused reads problem details (RFC 9457). An answer without them is not from Dex.
func refused(server string, resp *http.Response, body []byte) *Refused {
	e := &Refused{}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/problem+json") || json.Unmarshal(body, e) != nil {
		e = &Refused{Title: "an answer that is not from Dex's management API"}
	}
	e.Status, e.server, e.requestID = resp.StatusCode, server, resp.Header.Get("X-Request-Id")
	return e
}

// Error returns what the server says, and what to do where that depends on the caller.
func (e *Refused) Error() string {
	said := e.Detail
	if said == "" {
		said = e.Title
	}
	var b strings.Builder
	b.WriteString(Printable(said))
	for _, m := range e.Members {
		if line := m.Name + ": " + m.Detail; !strings.Contains(said, line) {
			b.WriteString("\n  " + Printable(line))
		}
	}
	if hint := e.hint(); hint != "" {
		b.WriteString("\n" + hint)
	}
	fmt.Fprintf(&b, "\n(%d %s from %s", e.Status, http.StatusText(e.Status), e.server)
	if e.requestID != "" {
		fmt.Fprintf(&b, ", request %s", Printable(e.requestID))
	}
	b.WriteString(")")
	return b.String()
}

func (e *Refused) hint() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return "Give a token (--token-file, " + envToken + ") or a client certificate (--cert, --key) that the server's api section allows."
	case http.StatusPreconditionFailed:
		return "Somebody else has changed it meanwhile: look at it, and repeat the command."
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "Try again later."
	}
	return ""
}

// Printable returns a text without what would have a meaning to a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == ' ' {
			return r
		}
		return '\uFFFD'
	}, text)
}
