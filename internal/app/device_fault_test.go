package app_test

import (
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// A code with the punctuation of the line that it was copied from was refused.
var _ = faulttest.Add("P21", func(t *testing.T) {
	s := allGrants(t, "")
	for _, around := range []string{"%:", "%.", "(%)", "“%”", "%\r\n", "\u00a0%\u200b", "%!?"} {
		begun, b := s.device(), s.browser()
		typed := strings.ReplaceAll(around, "%", begun.text("user_code"))
		b.viaMock(b.typeCode(typed, "continue")).wantStatus(200)
		s.token(pollForm(begun.text("device_code"))).wantStatus(200)
	}

	// Other dashes come from text processors.
	begun, b := s.device(), s.browser()
	b.viaMock(b.typeCode(strings.ReplaceAll(begun.text("user_code"), "-", "–"), "continue")).wantStatus(200)

	// A device code is never read so.
	code := begun.text("device_code")
	s.token(pollForm(code+":")).wantError(400, "invalid_grant")
	s.token(pollForm(code)).wantStatus(200)
})
