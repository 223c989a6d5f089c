package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestFault runs tests for faults found in real use, by their ids.
func TestFault(t *testing.T) {
	t.Run("N9", func(t *testing.T) { // there was no way to try the device flow
		t.Run("tokens", testDeviceTokens)
		t.Run("refused", testDeviceRefused)
		t.Run("cancelled", testDeviceCancelled)
		t.Run("not supported", testNoDevices)
	})
}

// withDevices adds the device flow to the provider. The answers to polling are
// error codes; an empty one gives tokens.
func withDevices(t *testing.T, answers ...string) *fakeProvider {
	t.Helper()
	f := newFakeProvider(t)
	f.editDiscovery = func(document map[string]any) {
		document["device_authorization_endpoint"] = f.URL + "/device"
		document["grant_types_supported"] = []string{"authorization_code", "refresh_token", deviceGrant}
	}
	grants := f.Config.Handler
	var challenge string
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		switch {
		case r.URL.Path == "/device":
			if r.PostForm.Get("client_secret") != testSecret || r.PostForm.Get("scope") != "openid email offline_access" {
				t.Errorf("the provider is asked %v", r.PostForm)
			}
			challenge = r.PostForm.Get("code_challenge")
			writeJSON(w, http.StatusOK, map[string]any{
				"device_code": "secret-code", "user_code": "BCDF-GHJK", "verification_uri": "https://id.example.com/device",
				"verification_uri_complete": "https://id.example.com/device?user_code=BCDF-GHJK", "expires_in": 300, "interval": 1,
			})
		case r.PostForm.Get("grant_type") == deviceGrant:
			if r.PostForm.Get("device_code") != "secret-code" || s256(r.PostForm.Get("code_verifier")) != challenge {
				t.Errorf("the provider is asked %v", r.PostForm)
			}
			answer := answers[0]
			answers = answers[1:]
			if answer != "" {
				writeOAuthError(w, answer, "because")
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			writeJSON(w, http.StatusOK, f.tokenResponse(url.Values{"scope": {"offline_access"}}))
		default:
			grants.ServeHTTP(w, r)
		}
	})
	return f
}

// beginDevice requests a code and expects the page that shows it.
func (b *browser) beginDevice() page {
	b.t.Helper()
	p := b.post("/grant/device", url.Values{"extra_scopes": {"email", "offline_access"}})
	p.want(http.StatusOK, "/grant/device")
	if p.text("user-code") != "BCDF-GHJK" || p.text("verification-uri") != "https://id.example.com/device" ||
		!strings.HasSuffix(p.text("verification-uri-complete"), "?user_code=BCDF-GHJK") {
		b.t.Fatal(p.body)
	}
	if got := p.header.Get("Refresh"); got != "1; url=/grant/device/wait" {
		b.t.Errorf("the page goes on to %q", got)
	}
	if strings.Contains(p.body, "secret-code") {
		b.t.Error("the device code is shown")
	}
	return p
}

func testDeviceTokens(t *testing.T) {
	b := newBrowser(t, startApp(t, withDevices(t, "authorization_pending", "")))
	if p := b.get("/"); !strings.Contains(p.body, `href="/grant/device"`) {
		t.Error("no link to the page")
	}
	if p := b.get("/grant/device"); !p.has("device-button") || p.header.Get("Refresh") != "" {
		t.Error(p.body)
	}
	b.beginDevice()
	b.get("/grant/device/wait").want(http.StatusOK, "/grant/device") // not yet
	p := b.get("/grant/device/wait")
	p.want(http.StatusOK, "/tokens")
	if p.text("signed-in-as") != "Jane Doe" || p.text("refresh-token") == "" {
		t.Error(p.body)
	}
	b.get("/grant/device/wait").want(http.StatusOK, "/grant/device")
}

func testDeviceRefused(t *testing.T) {
	b := newBrowser(t, startApp(t, withDevices(t, "access_denied")))
	b.beginDevice()
	b.get("/grant/device/wait").wantError(http.StatusBadRequest, "The device was not signed in", "access_denied", "because")
	if p := b.get("/grant/device"); !p.has("device-button") {
		t.Error("the refused code is still waited for")
	}
}

func testDeviceCancelled(t *testing.T) {
	b := newBrowser(t, startApp(t, withDevices(t)))
	b.beginDevice()
	if p := b.post("/grant/device/cancel", url.Values{}); !p.has("device-button") {
		t.Error(p.body)
	}
}

func testNoDevices(t *testing.T) {
	b := newBrowser(t, startApp(t, newFakeProvider(t)))
	if p := b.get("/"); strings.Contains(p.body, "/grant/device") {
		t.Error("a link leads to what the provider lacks")
	}
	b.get("/grant/device").wantError(http.StatusNotFound)
}
