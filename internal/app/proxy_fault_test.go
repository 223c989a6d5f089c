package app_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// Behind a proxy that drops the port of the Host header, all forms were refused where the issuer is an inner address.
var _ = faulttest.Add("P19", func(t *testing.T) {
	s := start(t, "")
	b := s.browser()
	send := func(path string, form url.Values, origin string) answer {
		r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		r.Host = "10.0.0.5"
		return b.send(r)
	}
	for name, form := range map[string]struct {
		path   string
		fields url.Values
		status int
	}{
		"password": {b.passwordForm(), credentials(), http.StatusSeeOther},
		"consent":  {b.consent(), url.Values{"approval": {"approve"}}, http.StatusSeeOther},
		"device":   {"/dex/device/auth/verify_code", url.Values{"user_code": {s.device().text("user_code")}}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			send(form.path, form.fields, "http://evil.example:8080").wantStatus(http.StatusForbidden)
			send(form.path, form.fields, "http://10.0.0.5:8080").wantStatus(form.status)
		})
	}
})
