package rest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"dex/internal/admin"
	"dex/internal/config"
)

// checkBody refuses a body that a route doesn't have, or of another type than JSON: forms of web pages have others.
func (c *call) checkBody() error {
	c.Body = http.MaxBytesReader(c.w, c.Body, maxBody)
	if c.route.body == nil && c.ContentLength == 0 {
		return nil
	}
	if c.route.body == nil {
		if n, _ := io.ReadFull(c.Body, make([]byte, 1)); n > 0 {
			return malformed("this call has no body")
		}
		return nil
	}
	kind, parameters, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	charset := parameters["charset"]
	if err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &statusError{http.StatusUnsupportedMediaType, "notJSON", "the body must be JSON, with the header Content-Type: application/json"}
	}
	if c.Header.Get("Content-Encoding") != "" {
		return &statusError{http.StatusUnsupportedMediaType, "notJSON", "the body must not be compressed"}
	}
	return nil
}

// section reads the body.
func (c *call) section() (config.Section, error) {
	data, err := io.ReadAll(c.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return config.Section{}, &statusError{http.StatusRequestEntityTooLarge, "tooLarge", fmt.Sprintf("the body must have at most %d bytes", maxBody)}
	}
	if err != nil {
		return config.Section{}, malformed("the body could not be read to its end")
	}
	if !utf8.Valid(data) {
		return config.Section{}, malformed("the body is not UTF-8")
	}
	s, err := config.SectionFromJSON("body", data)
	if err != nil {
		return s, malformed(strings.ToValidUTF8(err.Error(), "?"))
	}
	return s.Strict(), nil
}

// read reads the body into a struct by its tags key. Unknown members are errors.
func (c *call) read(body any) error {
	s, err := c.section()
	if err != nil {
		return err
	}
	return invalid(s.Decode(body))
}

// asInvalid returns what is wrong with a configuration, if that is what an error is about.
func asInvalid(err error) (config.Problems, bool) {
	found, ok := errors.AsType[*config.InvalidError](err)
	if !ok {
		return nil, false
	}
	return found.Problems, true
}

// invalid returns the error for members that are not valid; nil if there are none.
func invalid(found config.Problems) error {
	err, ok := errors.AsType[*config.InvalidError](found.Err())
	if !ok {
		return nil
	}
	e := admin.Errorf(admin.Invalid, "the body is not valid")
	for _, p := range err.Problems {
		e.Members = append(e.Members, admin.Member{Name: strings.TrimPrefix(p.Key, "."), Message: p.Message})
	}
	first := e.Members[0]
	e.Message += ": " + strings.TrimPrefix(first.Name+": "+first.Message, ": ")
	if more := len(e.Members) - 1; more > 0 {
		e.Message += fmt.Sprintf("; and %d more", more)
	}
	return e
}

// shown returns what a caller has sent in a length that suits a message.
func shown(text string) string {
	const longest = 100
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return fmt.Sprintf("%q", text)
}
