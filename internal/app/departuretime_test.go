package app_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestDepartureTime(t *testing.T) {
	t.Run("D-611 reused refresh tokens", func(t *testing.T) { synctest.Test(t, testReuse) })
	t.Run("D-963 auth_time of refreshed tokens", func(t *testing.T) { synctest.Test(t, testAuthTime) })
	t.Run("D-601 lifetime of codes", func(t *testing.T) { synctest.Test(t, testCodeLifetime) })
}

func testReuse(t *testing.T) {
	s := start(t, "expiry: {refreshTokens: {reuseInterval: 10s}}\n")
	first := s.tokens()
	device := s.tokens().text("refresh_token") // a second login ends nothing
	old := first.text("refresh_token")
	next := s.token(refreshForm(old)).wantStatus(200).text("refresh_token")
	if next == old {
		t.Fatal("the token was not rotated")
	}
	time.Sleep(9 * time.Second)
	if again := s.token(refreshForm(old)).wantStatus(200).text("refresh_token"); again != next {
		t.Fatal("within the window the answer is another")
	}
	time.Sleep(2 * time.Second)
	s.token(refreshForm(next), func(r *http.Request) { r.SetBasicAuth("other", "o%2B%25ther+secret") }).
		wantError(400, "invalid_grant")
	last := s.token(refreshForm(next)).wantStatus(200).text("refresh_token")
	time.Sleep(11 * time.Second)
	s.token(refreshForm(old)).wantError(400, "invalid_grant")
	s.token(refreshForm(last)).wantError(400, "invalid_grant")
	s.token(refreshForm(device)).wantStatus(200)
}

func testAuthTime(t *testing.T) {
	s := start(t, "")
	a := s.tokens()
	want := claims(t, a.text("id_token"))["auth_time"]
	time.Sleep(time.Hour)
	fresh := claims(t, s.token(refreshForm(a.text("refresh_token"))).wantStatus(200).text("id_token"))
	if fresh["auth_time"] != want || fresh["nonce"] != "n" || fresh["c_hash"] != nil {
		t.Errorf("refreshed claims %v, want auth_time %v", fresh, want)
	}
}

func testCodeLifetime(t *testing.T) {
	s := start(t, "")
	code := s.code()
	time.Sleep(61 * time.Second)
	s.token(codeForm(code)).wantError(400, "invalid_grant")
}

func TestRefreshTokenLifetimes(t *testing.T) {
	for name, policy := range map[string]string{
		"absolute": "absoluteLifetime: 2h", "idle": "validIfNotUsedFor: 40m",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, "expiry: {refreshTokens: {"+policy+"}}\n")
				token := s.tokens().text("refresh_token")
				for range 3 {
					time.Sleep(39 * time.Minute)
					token = s.token(refreshForm(token)).wantStatus(200).text("refresh_token")
				}
				time.Sleep(41 * time.Minute)
				s.token(refreshForm(token)).wantError(400, "invalid_grant")
			})
		})
	}
}

func TestDisableRotation(t *testing.T) {
	s := start(t, "expiry: {refreshTokens: {disableRotation: true}}\n")
	token := s.tokens().text("refresh_token")
	for range 3 {
		if got := s.token(refreshForm(token)).wantStatus(200).text("refresh_token"); got != token {
			t.Fatal("the token was rotated")
		}
	}
}
