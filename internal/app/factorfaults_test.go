package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/store"
	"dex/internal/store/memory"
)

// enterShop begins at the password.
func enterShop(b *browser, u *passer, _ answer) answer {
	form := b.visit(to("shop", "connector_id", "crowd"))
	if form.status != http.StatusFound {
		return form
	}
	return b.post(form.path(), url.Values{"login": {u.name}, "password": {"p"}})
}

// openPage opens the page that the last answer leads to.
func openPage(b *browser, u *passer, before answer) answer {
	u.at = before.path()
	page := b.visit(u.at)
	if found := shownSecret.FindStringSubmatch(page.body); found != nil {
		u.secret = found[1]
	}
	return page
}

func typeCode(b *browser, u *passer, _ answer) answer { return b.post(u.at, u.nextCode(b)) }

func typeRecoveryCode(b *browser, u *passer, _ answer) answer {
	next := u.codes[0]
	u.codes = u.codes[1:]
	return b.post(strings.Replace(u.at, "/mfa/totp?", "/mfa/recovery?", 1), url.Values{"code": {next}})
}

func registerKey(b *browser, u *passer, _ answer) answer {
	if u.key == nil {
		u.key = newKey()
	}
	return b.register(u.at, u.key)
}

func assertKey(b *browser, u *passer, _ answer) answer { return b.assert(u.at, u.key) }

// goOn goes where a script is sent.
func goOn(b *browser, _ *passer, before answer) answer { return b.visit(before.text("redirect")) }

func confirmCodes(b *browser, u *passer, _ answer) answer { return b.post(u.at, nil) }

func stepUpTo(b *browser, _ *passer, _ answer) answer { return b.visit(to("shop")) }

// signedInToTill is somebody with a session in which no factor was passed.
func signedInToTill(b *browser, u *passer, _ answer) answer {
	if form := b.visit(to("till", "connector_id", "crowd")); form.status != http.StatusFound {
		return form
	}
	return b.enter("till", u.name)
}

type factorStep = func(b *browser, u *passer, before answer) answer

var factorFlows = map[string]factorFlow{
	"setting up an app": {chain: "otp", steps: []factorStep{enterShop, openPage, typeCode, openPage, confirmCodes}},
	"the code of an app": {
		chain: "otp", steps: []factorStep{enterShop, openPage, typeCode},
		prepare: func(s *server, u *passer) { u.secret, _ = s.newApp("shop", u.name); u.step = 0 },
	},
	"a recovery code": {
		chain: "otp", steps: []factorStep{enterShop, openPage, typeRecoveryCode},
		prepare: func(s *server, u *passer) { u.secret, u.codes = s.newApp("shop", u.name); u.step = 0 },
	},
	"registering a key": {chain: "key", steps: []factorStep{enterShop, openPage, registerKey, goOn, openPage, confirmCodes}},
	"a key": {
		chain: "key", steps: []factorStep{enterShop, openPage, assertKey, goOn},
		prepare: func(s *server, u *passer) { u.key = s.newKeyOf("shop", u.name) },
	},
	"step-up": {
		chain: "otp", steps: []factorStep{signedInToTill, stepUpTo, openPage, typeCode},
		prepare: func(s *server, u *passer) { u.secret, _ = s.newApp("shop", u.name); u.step = 0 },
	},
}

// A storage that fails at any one operation on the way through a second factor, before or after doing it, lets nobody through who has
// not passed; and whoever it has failed gets on by trying again, or by logging in again.
func TestFaultsOfFactors(t *testing.T) {
	t.Parallel()
	for name, flow := range factorFlows {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s late=%t", name, late), func(t *testing.T) {
				t.Parallel()
				kept := memory.New()
				f := &faulty{Store: kept, late: late}
				good, bad := startCrowd(t, flow.chain, flow.mfa, kept), startCrowd(t, flow.chain, flow.mfa, f)
				for n := 1; faultyFactor(t, flow, good, bad, f, n); n++ {
				}
			})
		}
	}
}

// faultyFactor goes a way while the nth operation fails. It reports whether there were so many.
func faultyFactor(t *testing.T, flow factorFlow, good, bad *crowded, f *faulty, n int) bool {
	t.Helper()
	u := &passer{name: fmt.Sprintf("user-%d", n), step: -1}
	if flow.prepare != nil {
		flow.prepare(good.server, u)
	}
	f.failAt, f.failed, f.wrote = n, false, false
	b := bad.browser()
	var a answer
	for i := 0; i < len(flow.steps); i++ {
		failed, before := f.failed, a
		a = flow.steps[i](b, u, before)
		if failed || !f.failed {
			continue
		}
		f.failAt = 0
		ok := a.status < http.StatusBadRequest && !strings.Contains(a.header.Get("Location"), "error=")
		switch {
		case ok && f.maybeSettled():
		case ok && a.appCode() == "" && !strings.Contains(a.body, "error"): // what failed was not needed
		case a.appCode() != "":
			t.Errorf("operation %d failed, and there is a code", n)
		case a.status < http.StatusInternalServerError && !strings.Contains(a.header.Get("Location"), "error=server_error"):
			t.Errorf("operation %d failed at step %d, and the answer blames somebody else: %d %s %s", n, i, a.status, a.header.Get("Location"), a.body)
		default:
			if a = tryAgain(b, flow, u, i, before); a.appCode() == "" {
				t.Errorf("operation %d failed at step %d, and the user gets stuck: %d %s %s", n, i, a.status, a.header.Get("Location"), a.body)
			}
			return true
		}
	}
	if a.appCode() == "" {
		t.Errorf("operation %d failed: %t; the way ends with %d %s %s", n, f.failed, a.status, a.header.Get("Location"), a.body)
	}
	return f.failed
}

// tryAgain goes on with the step that has failed, or else begins another login, in which the user uses what they have.
func tryAgain(b *browser, flow factorFlow, u *passer, at int, before answer) answer {
	again := flow.steps[at](b, u, before)
	for i := at + 1; i < len(flow.steps) && again.status < http.StatusBadRequest && again.appCode() == ""; i++ {
		again = flow.steps[i](b, u, again)
	}
	if again.appCode() != "" {
		return again
	}
	b = b.browser()
	a := enterShop(b, u, answer{})
	for range 5 {
		switch where := a.header.Get("Location"); {
		case strings.HasPrefix(where, "/dex/mfa/totp?"):
			a = typeCode(b, u, openPage(b, u, a))
		case strings.HasPrefix(where, "/dex/mfa/webauthn?"):
			u.at = a.path()
			done := b.assert(u.at, u.key)
			if done.json()["publicKey"] == nil && done.text("redirect") == "" || strings.HasPrefix(done.text("redirect"), "/dex/mfa/webauthn") {
				done = registerKey(b, u, a)
			}
			a = goOn(b, u, done)
		case strings.HasPrefix(where, "/dex/mfa/codes?"):
			openPage(b, u, a)
			a = confirmCodes(b, u, a)
		default:
			return a
		}
	}
	return a
}

// If the answer to setting up an app got lost, the user types its next code, and still gets the recovery codes.
func TestAppsWhoseAnswerGotLost(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	t.Cleanup(func() { _ = kept.Close() })
	lost := &lostLogin{Store: kept}
	s := startCrowd(t, "otp", "", lost)
	b := s.browser()
	at := b.enter("shop", "ann").at("/mfa/totp?")
	secret := b.appKey(at)
	lost.loses = true
	b.enterCode(at, secret, -1).wantStatus(http.StatusInternalServerError)
	lost.loses = false
	if !s.factorOf("ann").Any() {
		t.Fatal("the app is not stored")
	}
	codes := b.enterCode(at, secret, 0).at("/mfa/codes?")
	b.visit(codes).wantStatus(http.StatusOK)
	if end := b.post(codes, nil); end.appCode() == "" {
		t.Errorf("led to %s", end.header.Get("Location"))
	}
}

// lostLogin writes everything but logins, while it loses those.
type lostLogin struct {
	store.Store
	loses bool
}

func (l *lostLogin) Replace(ctx context.Context, r store.Record) (string, error) {
	if l.loses && r.Kind == "login" {
		return "", errFault
	}
	return l.Store.Replace(ctx, r)
}
