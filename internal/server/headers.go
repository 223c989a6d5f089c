package server

import (
	"maps"
	"net/http"
)

// defaultHeaders are the security headers of every page. Left out on purpose:
//
//   - form-action in the policy: browsers also apply it to the redirects that follow a post, and those after a login lead
//     to applications anywhere.
//   - Cross-Origin-Opener-Policy: any value but the default cuts the login page off from the page that opened it, and
//     applications that log in through a popup would not learn the outcome.
//   - Strict-Transport-Security: it binds the whole host for a long time, which only the operator can decide.
//   - X-XSS-Protection: browsers have dropped it because it opened holes of its own.
//   - Cache-Control: only the handlers know what may be cached.
//
// What the policy blocks on the operator's own pages is logged at start (ui/policy.go, which lists its sources too).
//
// The referrer policy tells other sites nothing. So would no-referrer, but then browsers send "Origin: null" with our own
// forms, and over plain HTTP, where there is no Sec-Fetch-Site, these could not be told from a stranger's.
var defaultHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https: data:; font-src 'self'; " +
		"script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Frame-Options":        "DENY",
	"X-Content-Type-Options": "nosniff",
	"Referrer-Policy":        "same-origin",
}

// redirects reports whether an answer redirects the browser. Nobody sees such an answer, and the headers about pages would
// use up the space that proxies have for a login's long addresses and cookies: only 4 KiB by default in some.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// headerLine is a header that all answers share. Its value is an array, whose slices have no spare capacity, so that a
// handler that appends to the header gets a copy.
type headerLine struct {
	name  string
	value *[1]string
	page  bool // whether it is about the page in the answer, not about the host
}

// securityHeaders returns the default headers, overridden by name. An empty value leaves a header out.
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
