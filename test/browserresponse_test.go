package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestBrowserFormPost checks that our page submits the answer to an application by itself: its policy allows one script.
func TestBrowserFormPost(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<title>app</title><p id=got>"+r.Method+" "+r.PostFormValue("state")+" "+
			map[bool]string{true: "with code", false: "without"}[r.PostFormValue("code") != ""]+"</p>")
	}))
	t.Cleanup(app.Close)
	c := newConfiguration(t).withoutConsent()
	c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{app.URL + "/cb"}},
	})
	d := startDex(t, c)
	b := newBrowser(t)
	b.open(d.authURL("/auth/mock", url.Values{
		"redirect_uri": {app.URL + "/cb"}, "response_mode": {"form_post"}, "state": {"a-state"},
	}))
	b.see("#got")
	b.wantText("#got", "POST a-state with code")
}

// beginDevice requests codes as a device does.
func beginDevice(t *testing.T, d *dex) (userCode, deviceCode string) {
	t.Helper()
	form := url.Values{"client_id": {publicClientID}, "scope": {"openid email profile offline_access"}}
	resp, err := (&http.Client{Transport: d.transport, Timeout: patience}).PostForm(d.endpoint("/device/code"), form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	var begun struct {
		UserCode   string `json:"user_code"`
		DeviceCode string `json:"device_code"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&begun); err != nil {
		t.Fatal(err)
	}
	return begun.UserCode, begun.DeviceCode
}

// TestBrowserDevice connects a device and refuses another one, as people do.
func TestBrowserDevice(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t))
	b := newBrowser(t)
	userCode, deviceCode := beginDevice(t, d)
	b.open(d.endpoint("/device"))
	b.fill("#user_code", "BBBB-BBBB")
	b.click("#submit-login", "#login-error")
	b.fill("#user_code", strings.ToLower(strings.ReplaceAll(userCode, "-", " ")))
	b.click("#submit-login", ".dex-user-code")
	b.wantText(".dex-user-code", userCode)
	b.wantText("main", "Command Line")
	b.click("#submit-login", loginChoice)
	b.follow("Log in with Email", passwordForm)
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, ".theme-heading")
	b.wantText(".theme-heading", "Device connected")

	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {deviceCode}, "client_id": {publicClientID},
	}
	resp, err := (&http.Client{Transport: d.transport, Timeout: patience}).PostForm(d.endpoint("/token"), form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"id_token"`) {
		t.Errorf("the device gets %s, %v", body, err)
	}

	userCode, _ = beginDevice(t, d)
	b.open(d.endpoint("/device?user_code=" + userCode))
	b.click("#submit-login", ".dex-user-code")
	b.click(denyButton, ".theme-heading")
	b.wantText(".theme-heading", "Device refused")
}

// TestBrowserDeviceWithASession connects devices of somebody who is signed in: they confirm each code, and nothing else.
func TestBrowserDeviceWithASession(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t).with("sessions", section{}))
	b := newBrowser(t)
	connect := func() {
		userCode, _ := beginDevice(t, d)
		b.open(d.endpoint("/device?user_code=" + userCode))
		b.click(passwordForm, ".dex-user-code")
	}
	connect()
	b.click(passwordForm, loginChoice)
	b.click(localLogin, passwordForm)
	b.enterPassword(adminEmail, adminPassword, approveButton)
	b.click(approveButton, ".theme-heading")
	b.wantText("main", "connected")

	connect()
	b.click(passwordForm, ".theme-heading")
	b.wantText("main", "connected")
	b.open(d.endpoint("/logout"))
	b.click("#submit-logout", "#still-open")
	b.wantText("#still-open", "Command Line")

	connect()
	b.click(passwordForm, loginChoice)
}
