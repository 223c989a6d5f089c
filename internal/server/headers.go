package server

import (
	"maps"
	"net/http"
)

// defaultHeaders are the security headers of every page. What isn't here, on purpose:
//
//   - form-action in the policy: browsers apply it to the redirects that follow a post as well, and those after a login
//     lead to applications anywhere.
//   - Cross-Origin-Opener-Policy: any value but the default cuts the tie between the login page and the page that opened
//     it, which is how applications that log in through a popup get to know the outcome.
//   - Strict-Transport-Security: it binds the whole host for a long time, which only the operator can decide.
//   - X-XSS-Protection: browsers have dropped it, as it opened holes of its own.
//   - Cache-Control: only the handlers know what may be kept.
//
// What the policy takes from pages of the operator's own is told at the start (ui/policy.go), where its sources are listed too.
//
// The referrer policy tells other sites nothing. No-referrer would, but browsers then send "Origin: null" with our own
// forms, and over plain HTTP, where there is no Sec-Fetch-Site, those could not be told from a stranger's.
var defaultHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https: data:; font-src 'self'; " +
		"script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Frame-Options":        "DENY",
	"X-Content-Type-Options": "nosniff",
	"Referrer-Policy":        "same-origin",
}

// redirects reports whether an answer sends the browser on. Nobody sees it, and the headers about pages would take the room
// that proxies have for the long addresses and cookies of a login: 4 KiB, by default, at some.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// headerLine is a header, made once for all answers. They share the value: it is an array, whose slices have no room to
// append to, so that a handler that adds to the header gets a copy.
type headerLine struct {
	name  string
	value *[1]string
	page  bool // it is about the page in the answer, and not about the host
}

// securityHeaders returns the default headers overridden by name. One whose value is empty is not sent.
func securityHeaders(override map[string]string) []headerLine {
	headers := maps.Clone(defaultHeaders)
	for name, value := range override {
		headers[http.CanonicalHeaderKey(name)] = value
	}
	lines := make([]headerLine, 0, len(headers))
	for name, value := range headers {
		if value == "" {
			continue
		}
		lines = append(lines, headerLine{name: name, value: &[1]string{value}, page: name != "Strict-Transport-Security"})
	}
	return lines
}
