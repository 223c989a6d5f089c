package relyingparty_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"dex/internal/relyingparty"
)

// An assertion that somebody else makes is read each time, and shown instead of anything else.
func TestAssertionFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "assertion")
	var form url.Values
	var authorization string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form, authorization = r.PostForm, r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token": "a"}`))
	}))
	defer s.Close()
	us := (&relyingparty.Client{
		ID: "dex", Secret: "secret", Method: relyingparty.AuthPrivateKey, AssertionFile: file,
	}).Over(s.Client())
	if err := us.CheckAssertion(); err == nil {
		t.Error("a file that is not there will do")
	}
	for content, want := range map[string]string{"a.b.c": "a.b.c", " d.e.f\r\n": "d.e.f", "": "", "secret": "", "a.b.c d": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		form = nil
		_, err := us.Ask(t.Context(), relyingparty.Endpoint{URL: s.URL}, url.Values{"code": {"c"}})
		if (err == nil) != (want != "") || (us.CheckAssertion() == nil) != (want != "") || form.Get("client_assertion") != want {
			t.Errorf("%q: %v, %v", content, form, err)
		}
		if err == nil && (form.Has("client_secret") || authorization != "" || form.Get("client_id") != "dex" ||
			form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
			t.Errorf("%v %q", form, authorization)
		}
	}
	if err := new(relyingparty.Client).CheckAssertion(); err != nil {
		t.Error(err)
	}
}
