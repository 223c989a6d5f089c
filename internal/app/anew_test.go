package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// changes are what may happen to a client, or its connector, while its user thinks, and what the application is told then. A
// page stands for those that leave nobody to tell.
var changes = map[string]struct {
	yaml func(w world) string
	told map[string]string // by response type
}{
	"nothing": {world.yaml, nil},
	"the client's grant": {
		func(w world) string { w.clientGrants = []string{"refresh_token"}; return w.yaml() },
		map[string]string{"code": "unauthorized_client", "id_token": "unauthorized_client", "device": "page"},
	},
	"the server's grant": {
		func(w world) string { w.grants = []string{"refresh_token", deviceGrant}; return w.yaml() },
		map[string]string{"code": "unsupported_response_type", "id_token": "unsupported_response_type"},
	},
	"the client's connector": {
		func(w world) string { w.allowed = []string{"spare"}; return w.yaml() },
		map[string]string{"code": "access_denied", "id_token": "access_denied", "device": "page"},
	},
	"the connector's grants": {
		func(w world) string { w.connectorGrants = []string{"refresh_token"}; return w.yaml() },
		map[string]string{"code": "access_denied", "id_token": "access_denied", "device": "page"},
	},
	"the connector": {
		func(w world) string {
			return strings.Replace(w.yaml(), "type: mockCallback, id: mock,", "type: mockCallback, id: elsewhere,", 1)
		},
		map[string]string{"code": "access_denied", "id_token": "access_denied", "device": "page"},
	},
	"the audience": {
		func(w world) string { w.trusting = "nobody"; return w.yaml() },
		map[string]string{"code": "invalid_scope", "id_token": "invalid_scope", "device": "page"},
	},
	"a factor": {
		func(w world) string { w.factors = "otp"; return w.yaml() },
		map[string]string{"code": "factor", "id_token": "factor", "device": "factor"},
	},
	"the client": {
		func(w world) string { w.client = "somebody"; return w.yaml() },
		map[string]string{"code": "page", "id_token": "page", "device": "page"},
	},
	"the redirect URI": {
		func(w world) string { return strings.Replace(w.yaml(), callback, "https://new.test/callback", 1) },
		map[string]string{"code": "page", "id_token": "page"},
	},
}

// changed runs the server of a world in which something has changed.
func changed(t *testing.T, yaml string, kept store.Store) *server {
	t.Helper()
	return startOn(t, yaml, func(store.Store) store.Store { return kept })
}

// The end of a login is decided when it ends, not when it began.
func TestLoginsEndByTheRulesOfTheirEnd(t *testing.T) {
	for name, change := range changes {
		for _, responseType := range []string{"code", "id_token"} {
			told := change.told[responseType]
			t.Run(name+" "+responseType, func(t *testing.T) {
				kept := memory.New()
				open, there := openWorld().in(t, kept), changed(t, change.yaml(openWorld()), kept)
				asked := []string{"scope", peerScope, "response_type", responseType, "approval_prompt", "force"}

				b := open.browser()
				page := b.consent(asked...)
				b.server = there
				wantTold(t, b.post(page, url.Values{"approval": {"approve"}}), told)

				refusing := open.browser()
				page = refusing.consent(asked...)
				refusing.server = there
				if a := refusing.post(page, url.Values{"approval": {"rejected"}}); told == "page" {
					wantTold(t, a, told)
				} else {
					wantTold(t, a, "access_denied")
				}

				if told == "" || name == "the connector" {
					return // the connector is what the answer of a source is for
				}
				reading := open.browser()
				page = reading.consent(asked...)
				reading.server = there
				wantTold(t, reading.visit(page), told)

				back := open.browser()
				trip := back.visit(authPath("connector_id", "mock", "scope", peerScope, "response_type", responseType)).path()
				back.server = there
				wantTold(t, back.visit(trip), told)
			})
		}
	}
}

// wantTold checks that the application is told an error, or the user by a page, and that it gets a code or token if there is
// none.
func wantTold(t *testing.T, a answer, told string) {
	t.Helper()
	if told == "page" {
		if a.status < 400 || a.status >= 500 || a.header.Get("Location") != "" || strings.Contains(a.body, callback) {
			t.Errorf("the user gets %d %s %s", a.status, a.header.Get("Location"), a.body)
		}
		return
	}
	a.wantStatus(http.StatusSeeOther)
	u := a.location()
	if told == "factor" {
		if u.Path != "/dex/mfa/totp" {
			t.Errorf("the user is led to %s, want the page of the factor", u)
		}
		return
	}
	params := u.Query()
	if u.Fragment != "" {
		params, _ = url.ParseQuery(u.Fragment)
	}
	got := params.Get("code") + params.Get("id_token")
	if params.Get("error") != told || (got != "") != (told == "") || !strings.HasPrefix(u.String(), callback) {
		t.Errorf("the application is told %s, want %q", u, told)
	}
}

// A device gets nothing that its client may not have any more when its user has signed in.
func TestDeviceLoginsEndByTheRulesOfTheirEnd(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			kept := memory.New()
			open, there := openWorld().in(t, kept), changed(t, change.yaml(openWorld()), kept)
			begun := open.device("scope", peerScope)
			b := open.browser()
			choice := mockLink.FindStringSubmatch(b.typeCode(begun.text("user_code"), "continue").body)
			if choice == nil {
				t.Fatal("no connectors to choose from")
			}
			trip := b.visit(strings.ReplaceAll(choice[1], "&amp;", "&")).wantStatus(http.StatusFound).path()
			b.server = there
			a := b.visit(trip)
			told := change.told["device"]
			if name == "the connector" {
				return // the source's answer is for nobody
			}
			if told == "page" || told == "factor" {
				wantTold(t, a, told)
			} else if a.path() != "/dex/device/callback?state="+begun.text("user_code") {
				t.Errorf("the login ends with %d %s", a.status, a.body)
			}
			poll := open.token(pollForm(begun.text("device_code")), asApp)
			if poll.hasToken() != (told == "") {
				t.Errorf("the device gets %d %s", poll.status, poll.body)
			}
			if told != "" && told != "factor" && name != "the client" && !strings.Contains(poll.body, "access_denied") {
				t.Errorf("the device is told %s", poll.body)
			}
		})
	}
}
