package app_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/store"
)

// A visit gets ready to call an endpoint at one server and returns the call for another one that shares its storage.
type visit func(b *browser) func(there *browser) answer

// visits has one for each endpoint that uses the storage. Those with nil don't: not a single operation.
var visits = map[string]visit{
	"/": nil, "/.well-known/openid-configuration": nil, "/.well-known/oauth-authorization-server": nil,
	"/.well-known/oauth-authorization-server/dex": nil, "/keys": nil, "/healthz": nil, "/robots.txt": nil,
	"/language": nil, "/static/{file...}": nil, "/theme/{file...}": nil, "/device": nil, "/saml/{connector}/metadata": nil,

	"/auth": func(*browser) func(*browser) answer {
		return func(there *browser) answer { return there.visit(authPath()) }
	},
	"/auth/{connector}": func(*browser) func(*browser) answer {
		return func(there *browser) answer { return there.visit("/dex/auth/mock?" + request().Encode()) }
	},
	"/auth/{connector}/login": func(b *browser) func(*browser) answer {
		form := b.passwordForm()
		return func(there *browser) answer { return there.post(form, credentials()) }
	},
	"/callback": func(b *browser) func(*browser) answer {
		trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()
		return func(there *browser) answer { return there.visit(trip) }
	},
	"/callback/{connector}": func(b *browser) func(*browser) answer {
		trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).path()
		return func(there *browser) answer {
			return there.visit(strings.Replace(trip, "/callback", "/callback/mock", 1))
		}
	},
	"/approval": func(b *browser) func(*browser) answer {
		page := b.consent()
		return func(there *browser) answer { return there.post(page, url.Values{"approval": {"approve"}}) }
	},
	"/token": func(b *browser) func(*browser) answer {
		code := b.code()
		return func(there *browser) answer { return there.token(codeForm(code)) }
	},
	"/token/introspect": func(b *browser) func(*browser) answer {
		token := b.tokens().text("refresh_token")
		return func(there *browser) answer { return there.postForm("/dex/token/introspect", form("token", token)) }
	},
	"/token/revoke": func(b *browser) func(*browser) answer {
		token := b.tokens().text("refresh_token")
		return func(there *browser) answer { return there.postForm("/dex/token/revoke", form("token", token)) }
	},
	"/userinfo": func(b *browser) func(*browser) answer {
		token := b.tokens().text("access_token")
		return func(there *browser) answer { return there.bearer(token) }
	},
	"/device/code": func(*browser) func(*browser) answer {
		return func(there *browser) answer { return there.postForm("/dex/device/code", form()) }
	},
	"/device/auth/verify_code": func(b *browser) func(*browser) answer {
		code := b.device().text("user_code")
		return func(there *browser) answer {
			return there.post("/dex/device/auth/verify_code", url.Values{"user_code": {code}, "decision": {"deny"}})
		}
	},
	"/device/callback": func(b *browser) func(*browser) answer {
		code := b.device().text("user_code")
		b.typeCode(code, "deny").wantStatus(http.StatusOK)
		return func(there *browser) answer { return there.visit("/dex/device/callback?state=" + code) }
	},
	"/device/token": func(b *browser) func(*browser) answer {
		code := b.approvedDevice()
		return func(there *browser) answer { return there.postForm("/dex/device/token", pollForm(code)) }
	},
}

// A storage that fails at any one operation of any endpoint, before or after doing it, makes the answer say that it was our
// fault: nothing is claimed that did not happen. A new endpoint fails here until it has a visit.
func TestFaultsOfEveryEndpoint(t *testing.T) {
	t.Parallel()
	for _, pattern := range open(t, configuration, nil).Patterns() {
		visit, known := visits[pattern]
		if !known {
			t.Errorf("endpoint %s has no visit", pattern)
			continue
		}
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", pattern, late), func(t *testing.T) {
				if visit == nil {
					wantNoOperation(t, pattern)
					return
				}
				for n := 1; faultyVisit(t, configuration, visit, n, late); n++ {
				}
			})
		}
	}
}

// faultyVisit makes a visit while the nth operation fails. It reports whether there were so many.
func faultyVisit(t *testing.T, yaml string, visit visit, n int, late bool) bool {
	t.Helper()
	var kept store.Store
	ready := startOn(t, yaml, func(inner store.Store) store.Store { kept = inner; return inner }).browser()
	call := visit(ready)
	f := &faulty{Store: kept, late: late}
	there := &browser{server: startOn(t, yaml, func(store.Store) store.Store { return f }), jar: ready.jar}
	f.failAt = n
	a := call(there)
	if !f.failed {
		if a.status >= http.StatusBadRequest {
			t.Errorf("without a fault: %d %s", a.status, a.body)
		}
		return false
	}
	if f.maybeSettled() && a.status < http.StatusBadRequest {
		return true
	}
	blamed := a.header.Get("Location")
	if a.status < http.StatusInternalServerError && !strings.Contains(blamed, "error=server_error") &&
		!strings.Contains(blamed, "error=temporarily_unavailable") {
		t.Errorf("operation %d failed, and the answer is %d %s %s", n, a.status, blamed, a.body)
	}
	return true
}

func wantNoOperation(t *testing.T, pattern string) {
	t.Helper()
	var f *faulty
	a := open(t, configuration, func(inner store.Store) store.Store { f = &faulty{Store: inner}; return f })
	handler := a.Handler()
	f.failAt = 1
	(&server{t: t, handler: handler}).present(http.MethodGet, strings.ReplaceAll(pattern, "{connector}", "mock"), "state", "x", "", "app", "app-secret")
	if f.failed {
		t.Errorf("%s uses the storage: it needs a visit", pattern)
	}
}
