package app_test

import (
	"testing"

	"dex/internal/faulttest"
)

// A blank behind a token makes it another one here, and the same one where it is sent on to.
var _ = faulttest.Add("R1", func(t *testing.T) {
	s := allGrants(t, "")
	for _, token := range []string{"x ", " x", "x\t", "x\r\n", "x,y", `x"`, "x\u00a0", "=", "x=y"} {
		s.token(exchangeForm("subject_token", token)).wantError(400, "invalid_request")
	}
	for _, token := range []string{"x", "a.b-c_d~e+f/g=="} {
		s.token(exchangeForm("subject_token", token)).wantStatus(200)
	}
})

// Groups that a source tells twice were passed on twice.
var _ = faulttest.Add("K14", func(t *testing.T) {
	s := start(t, "- {id: robot, secret: robot-secret, name: Robot, clientCredentialsClaims: {groups: [b, a, b, c, a]}}\n"+
		"oauth2: {grantTypes: [client_credentials]}\n")
	a := s.token(robotForm("scope", "openid groups"), as("robot", "robot-secret")).wantStatus(200)
	for _, token := range []string{"id_token", "access_token"} {
		wantClaims(t, a.text(token), map[string]any{"groups": []any{"b", "a", "c"}})
	}
})
