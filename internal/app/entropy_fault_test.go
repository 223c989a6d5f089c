package app_test

import (
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// entropy estimates the bits of a text as the conformance suite does: by how often each of its characters is there.
func entropy(text string) float64 {
	count := map[rune]float64{}
	for _, r := range text {
		count[r]++
	}
	bits := 0.0
	for _, n := range count {
		bits -= n * math.Log2(n/float64(len(text)))
	}
	return bits
}

// What is guessed at had 124 bits, and a conformance run failed by chance.
var _ = faulttest.Add("V1", func(t *testing.T) {
	s := start(t, "")
	for range 50 {
		b := s.browser()
		trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound)
		state := trip.location().Query().Get("state")
		consent := b.visit(trip.path()).wantStatus(http.StatusSeeOther).path()
		code := b.post(consent, form("approval", "approve")).location().Query().Get("code")
		refresh := s.token(codeForm(code)).text("refresh_token")
		device := s.postForm("/dex/device/code", form("scope", "openid")).text("device_code")
		for what, text := range map[string]string{"state": state, "code": code, "refresh token": refresh, "device code": device} {
			if entropy(text) < 128 || len(text) < 52 || regexp.MustCompile(`[^A-Za-z0-9_-]`).MatchString(text) {
				t.Errorf("%s %q has %d characters, and %.0f bits by the suite's estimate", what, text, len(text), entropy(text))
			}
		}
		if len(state) > 80 || strings.ToLower(state) != state {
			t.Errorf("state %q doesn't fit into a RelayState", state)
		}
	}
})
