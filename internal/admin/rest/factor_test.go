package rest_test

import (
	"testing"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
)

func TestFactors(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	s.Enroll(t, "u/1", "local", 100)
	const path = "/api/v2/identities/local/u%2F1/factors"
	s.call("GET", path, "").want(200).
		has(`{"id":"totp:app","authenticator":"app","type":"TOTP","created":"2026-05-04T12:00:00Z","lastUsed":"2026-05-04T13:00:00Z"}`).
		has(`{"id":"webauthn:Y3JlZGVudGlhbA","authenticator":"key","type":"WebAuthn","name":"Blue key","created":"2026-05-04T12:00:00Z","synced":true,"clone":true}`).
		has(`"recoveryCodes":2,"wrongCodes":100,"locked":true}`).
		hasNot(admintest.TOTPSecret).hasNot(admintest.PublicKey).hasNot("c2VjcmV0").hasNot("cHVibGlj").hasNot("hash-1")
	for _, dry := range []string{"?dryRun=true", ""} {
		s.call("POST", path+"/unlock"+dry, "").want(204)
		s.call("DELETE", path+"/webauthn:Y3JlZGVudGlhbA"+dry, "").want(204)
	}
	s.call("GET", path, "").want(200).has("totp:app").hasNot("webauthn").hasNot("locked")
	s.call("DELETE", path+"?dryRun=true", "").want(204)
	s.call("GET", path, "").want(200).has("totp:app")
	s.call("DELETE", path, "").want(204)
	s.call("GET", path, "").want(200).has(`{"items":[],"recoveryCodes":0}`)
	s.call("DELETE", path+"/totp:app", "").problem(404, "notFound", "totp:app")
	s.call("GET", "/api/v2/identities/local/u9/factors", "").problem(404, "notFound", "u9")
	s.call("DELETE", path+"/unlock", "").problem(404, "notFound", "unlock") // it is no factor
}

func TestInvite(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	const path = "/api/v2/users/Configured@example.com/invitation"
	s.call("POST", path+"?dryRun=true", "").want(200).has("{}")
	s.call("POST", path, "").want(200).has(`"url":"https://dex.test/invitation`).has(`"expires":"2030-05-04T12:00:00Z"`)
	s.call("POST", path+"?byMail=true", "").want(200).has(`{"expires":"2030-05-04T12:00:00Z"}`)
	s.call("POST", path+"?byMail=yes", "").problem(400, "malformed", "byMail")
	s.call("POST", "/api/v2/users/nobody/invitation", "").problem(404, "notFound", "nobody")
}

func TestBlock(t *testing.T) {
	t.Parallel()
	s := open(t, admin.RoleUsers)
	s.SignIn(t, "s1", "u1", "local", "shop")
	const path = "/api/v2/identities/local/u1/block"
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, dry := range []string{"?dryRun=true", ""} {
		s.call("PUT", path+dry, `{"until":"`+until+`"}`).want(200).has(`{"until":"` + until + `","known":true,"ended":1,"logins":0}`)
	}
	s.call("GET", "/api/v2/identities/local/u1", "").want(200).has(`"blockedUntil":"` + until + `"`)
	s.call("PUT", "/api/v2/identities/local/u2/block", `{}`).want(200).has(`{"until":"9999-12-31T23:59:59Z","known":false,"ended":0,"logins":0}`)
	s.call("DELETE", path+"?dryRun=true", "").want(204)
	s.call("DELETE", path, "").want(204)
	s.call("GET", "/api/v2/identities/local/u1", "").want(200).hasNot("blockedUntil")
	s.call("DELETE", "/api/v2/identities/local/u9/block", "").problem(404, "notFound", "u9")
	for body, message := range map[string]string{
		`{"until":"2020-01-01T00:00:00Z"}`: "in the future", `{"until":"tomorrow"}`: "2030-01-31", `{"untl":"x"}`: "untl",
		`{"until":"0001-01-01T00:00:00Z"}`: "2030-01-31",
	} {
		s.call("PUT", path, body).problem(422, "invalid", message)
	}
	if left := s.Left(t); left != "[] [] 1" {
		t.Errorf("left %s", left)
	}
}
