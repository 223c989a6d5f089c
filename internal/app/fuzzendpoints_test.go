package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"dex/internal/store"
)

// A stranger sends forms, each from another address, so that no limit hides an answer.
type stranger struct {
	*server
	sent int
}

// send posts a body as it is, with the secret of the client app if it is known, and ends the test if the answer is our fault.
func (s *stranger) send(t *testing.T, path, body string, known bool) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if known {
		asApp(r)
	}
	s.sent++
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", s.sent>>16&255, s.sent>>8&255, s.sent&255)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	a := answer{t, w.Code, w.Header(), w.Body.String()}
	if a.status >= http.StatusInternalServerError {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	for _, sign := range []string{`"access_token":"`, `"active":true`, `"id_token":"`, `"refresh_token":"`} {
		if !known && strings.Contains(a.body, sign) {
			t.Fatalf("a stranger gets %s", a.body)
		}
	}
	return a
}

// noPublic is the configuration without the client that needs no secret.
var noPublic = strings.Replace(configuration, "- {id: cli, public: true, name: Command line}\n", "", 1)

// Whatever is given back, nobody's token dies of it but its own.
func FuzzRevoke(f *testing.F) {
	s := &stranger{server: startWith(f, noPublic)}
	a := s.token(codeForm(s.code())).wantStatus(http.StatusOK)
	alive := a.text("access_token")
	f.Add("token=x", true)
	f.Add("token=REFRESH", false)
	f.Add("token=ACCESSx&token_type_hint=access_token", true)
	f.Add("token=%00&client_id=app&client_secret=app-secret", false)
	f.Add("token=CgR0ZXN0EgNiYXI&token_type_hint=refresh_token", true)
	f.Add("token=a.b.c&token=", true)
	f.Add("token=%zz;", true)
	existing := strings.NewReplacer("ACCESSx", alive+"x", "REFRESH", a.text("refresh_token"))
	f.Fuzz(func(t *testing.T, body string, known bool) {
		if known {
			s.send(t, "/dex/token/revoke", body, true)
		} else {
			s.send(t, "/dex/token/revoke", existing.Replace(body), false)
		}
		if status := (&server{t: t, handler: s.handler}).bearer(alive).status; status != http.StatusOK {
			t.Fatalf("a token is refused with status %d", status)
		}
	})
}

func FuzzIntrospect(f *testing.F) {
	s := &stranger{server: startWith(f, noPublic)}
	a := s.token(codeForm(s.code())).wantStatus(http.StatusOK)
	f.Add("token=ACCESS", false)
	f.Add("token=ACCESS&client_id=other&client_secret=x", false)
	f.Add("token=REFRESH", false)
	f.Add("token=ACCESSx", true)
	f.Add("token=ID", true)
	f.Add("token=%ff%00", true)
	f.Add("token=e30.e30.e30&token_type_hint=access_token", true)
	existing := strings.NewReplacer("ACCESS", a.text("access_token"), "REFRESH", a.text("refresh_token"), "ID", a.text("id_token"))
	f.Fuzz(func(t *testing.T, body string, known bool) {
		got := s.send(t, "/dex/token/introspect", existing.Replace(body), known)
		own := strings.Contains(body, "ACCESS") || strings.Contains(body, "REFRESH")
		if strings.Contains(got.body, `"active":true`) && !own {
			t.Fatalf("%q is said to be %s", body, got.body)
		}
	})
}

func FuzzDeviceCode(f *testing.F) {
	var kept store.Store
	s := &stranger{server: startOn(f, configuration, func(inner store.Store) store.Store { kept = inner; return inner })}
	f.Add("scope=openid", true)
	f.Add("client_id=cli&scope=openid+offline_access", false)
	f.Add("client_id=cli&code_challenge=x&code_challenge_method=S256", false)
	f.Add("scope=openid+audience:server:client_id:strict", true)
	f.Add("scope=%00&scope=", true)
	f.Fuzz(func(t *testing.T, body string, known bool) {
		a := s.send(t, "/dex/device/code", body, known)
		if a.status != http.StatusOK {
			return
		}
		poll := s.send(t, "/dex/token", pollForm(a.text("device_code"), "client_id", "cli").Encode(), false)
		if poll.status < 400 {
			t.Fatalf("nobody has signed in, and the device gets %s", poll.body)
		}
		if err := kept.Delete(t.Context(), "device", a.text("user_code"), ""); err != nil { // or they fill the memory
			t.Fatal(err)
		}
	})
}

func FuzzUserCode(f *testing.F) {
	s := &stranger{server: startWith(f, configuration)}
	code := s.device().text("user_code")
	f.Add("user_code=CODE")
	f.Add("user_code=CODE&decision=continue")
	f.Add("user_code=++CODE-&decision=maybe")
	f.Add("user_code=BBBB-BBB%00&decision=deny")
	f.Add("user_code=%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF") // letters that become others in upper case
	f.Add("user_code=&user_code=x;")
	f.Fuzz(func(t *testing.T, body string) {
		a := s.send(t, "/dex/device/auth/verify_code", strings.ReplaceAll(body, "CODE", code), false)
		if to := a.header.Get("Location"); to != "" && !expected(to) {
			t.Fatalf("the browser is sent to %q", to)
		}
		if a.status == http.StatusTooManyRequests {
			t.Fatal("the limit hides the answers")
		}
	})
}

// Whatever is exchanged, a stranger gets no token, and a client none for who does not trust it.
func FuzzExchange(f *testing.F) {
	s := &stranger{server: startWith(f, noPublic)}
	for _, body := range []string{
		"", "&audience=other&resource=app&audience=other", "&audience=strict", "&resource=https://api.test/&resource=", "&actor_token=x",
		"&scope=openid+audience:server:client_id:other+audience:server:client_id:", "&requested_token_type=" + tokenType + "id_token",
		"&scope=a&scope=b", "&client_id=app", "&audience=%00&scope=%ff", "&grant_type=refresh_token",
	} {
		f.Add(exchangeForm().Encode()+body, true)
		f.Add(exchangeForm().Encode()+body, false)
	}
	f.Fuzz(func(t *testing.T, body string, known bool) {
		a := s.send(t, "/dex/token", body, known)
		if a.status != http.StatusOK {
			return
		}
		said := claims(t, a.text("access_token"))
		audience, several := said["aud"].([]any)
		if !several {
			audience = []any{said["aud"]}
		}
		for _, one := range audience {
			if !slices.Contains([]any{"app", "other"}, one) {
				t.Fatalf("%q gives a token for %v", body, one)
			}
		}
	})
}
