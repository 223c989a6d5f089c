package app_test

import (
	"net/http"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// No header could be switched off.
var _ = faulttest.Add("N4", func(t *testing.T) {
	const plain = "web: {http: 127.0.0.1:0}"
	for name, set := range map[string]string{
		"default": plain,
		"off":     `web: {http: 127.0.0.1:0, headers: {X-Frame-Options: "", Content-Security-Policy: ""}}`,
		"other":   `web: {http: 127.0.0.1:0, headers: {X-Frame-Options: SAMEORIGIN, Content-Security-Policy: "default-src *"}}`,
	} {
		h := startWith(t, strings.Replace(configuration, plain, set, 1)).get("/dex").wantStatus(http.StatusOK).header
		frames, policy := h.Values("X-Frame-Options"), h.Values("Content-Security-Policy")
		switch {
		case name == "off" && len(frames)+len(policy) != 0,
			name == "other" && (h.Get("X-Frame-Options") != "SAMEORIGIN" || h.Get("Content-Security-Policy") != "default-src *"),
			name == "default" && (h.Get("X-Frame-Options") != "DENY" || len(policy) != 1):
			t.Errorf("%s: %v, %v", name, frames, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: another header is gone", name)
		}
	}
})
