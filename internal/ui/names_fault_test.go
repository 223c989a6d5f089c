package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"dex/internal/faulttest"
	"dex/internal/ui"
)

// Direction marks in names reversed the page's own words.
var _ = faulttest.Add("N8", func(t *testing.T) {
	const name = "\u202eevil\u2066 \u05d0\u05d1 name"
	const shown = "evil \u05d0\u05d1 name"
	u, _ := newUI(t, ui.Config{})
	for what, show := range map[string]handler{
		"login":    loginPage(u, ui.LoginPage{Client: name, Connectors: []ui.ConnectorLink{{ID: "x", Name: name}}}),
		"password": passwordPage(u, http.StatusOK, ui.PasswordPage{Client: name, Connector: name}),
		"approval": approvalPage(u, ui.ApprovalPage{
			User: name, Email: name + "@x", Client: name, Connector: name, RequestedScopes: []string{"email", "audience:server:client_id:" + name, name},
		}),
		"error":    errorPage(u, http.StatusForbidden, ui.ErrorPage{ErrMsg: name}),
		"home":     homePage(u, ui.HomePage{LoggedIn: true, Username: name, Email: name, ConnectorName: name, Groups: []string{name}}),
		"accounts": accountsPage(u, ui.AccountsPage{Client: name, Accounts: []ui.Account{{Name: name, Email: name + "@x", Connector: name}}}),
		"logout": logoutPage(u, ui.LogoutPage{
			ShowConfirmation: true, User: ui.Account{Name: name, Connector: name}, Others: []ui.Account{{Email: name}},
		}),
		"logged out": logoutPage(u, ui.LogoutPage{LoggedOut: true, StillOpen: []string{name}, SourceName: name, BackURL: "/x", App: name}),
		"confirm": func(w http.ResponseWriter, r *http.Request) {
			u.DeviceConfirm(w, r, ui.DeviceConfirmPage{Client: name, UserCode: "X"})
		},
		"device": func(w http.ResponseWriter, r *http.Request) {
			u.DeviceResult(w, r, ui.DeviceResultPage{ClientName: name})
		},
		"denied": func(w http.ResponseWriter, r *http.Request) {
			u.DeviceResult(w, r, ui.DeviceResultPage{ClientName: name, Denied: true})
		},
		"form": func(w http.ResponseWriter, r *http.Request) {
			u.FormPost(w, r, ui.FormPostPage{Source: name, URL: "https://x.test"})
		},
	} {
		w := httptest.NewRecorder()
		show(w, httptest.NewRequest(http.MethodGet, "/auth", nil))
		if strings.ContainsAny(w.Body.String(), "\u202a\u202b\u202c\u202d\u202e\u2066\u2067") || !strings.Contains(w.Body.String(), shown) {
			t.Errorf("%s: the page is %s", what, w.Body)
		}
		document, err := html.Parse(strings.NewReader(w.Body.String()))
		if err != nil {
			t.Fatal(err)
		}
		for n := range document.Descendants() {
			alone := n.Parent != nil && (n.Parent.Data == "bdi" || n.Parent.Data == "title")
			if n.Type == html.TextNode && strings.Contains(n.Data, shown) && !alone && !strings.Contains(n.Data, "\u2068"+shown+"\u2069") {
				t.Errorf("%s: the name is not isolated in %q", what, n.Data)
			}
		}
	}
})

// The consent page of a login for a device didn't mention the device.
var _ = faulttest.Add("R15", func(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	for code, want := range map[string]bool{"": false, "BCDF-GHJK": true} {
		w := httptest.NewRecorder()
		approvalPage(u, ui.ApprovalPage{Client: "TV", UserCode: code}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/approval", nil))
		page := w.Body.String()
		if strings.Contains(page, "on a device") != want || strings.Contains(page, "BCDF-GHJK") != want {
			t.Errorf("with the code %q the page is %s", code, page)
		}
	}
})

// Names of any length and with any characters are shown without harm.
func TestNamesAreTidy(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	long := strings.Repeat("ö", 1000)
	page := text(document(t, approvalPage(u, ui.ApprovalPage{
		User: long, Client: "a\x00b\x1b[31m\u0085c\nd\u2028e", AuthReqID: "x", RequestedScopes: []string{long, "audience:server:client_id:" + long},
	})))
	if strings.Contains(page, strings.Repeat("ö", 201)) || !strings.Contains(page, strings.Repeat("ö", 200)+"…") {
		t.Error("long names aren't cut to 200 characters")
	}
	if !strings.Contains(page, "ab[31m c d e") {
		t.Errorf("control characters are shown: %q", page)
	}
}
