package app_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"dex/internal/factor/factortest"
	"dex/internal/identity"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// withPasskeys has a client for which everybody needs a key, which signs in local users without a password, too.
var withPasskeys = strings.Replace(withFactors, "  refreshTokenLifetime: session\n", "  mfaChain: [key]\n", 1)

// startPasskeys starts a server and registers a passkey of the local user.
func startPasskeys(t *testing.T, on store.Store) (*server, *factortest.Authenticator) {
	t.Helper()
	s := startOn(t, withPasskeys, func(store.Store) store.Store { return borrowed{on} })
	b, key := s.browser(), newKey()
	at := b.typePassword("shop").path()
	if end := b.afterScript(b.register(at, key)); end.appCode() == "" {
		t.Fatalf("no passkey: %d %s", end.status, end.body)
	}
	return s, key
}

var passkeyPlace = regexp.MustCompile(`action="(/dex/auth/local/passkey\?[^"]*)" data-options="([^"]*)"`)

// passkeyPage opens the login page, and returns where a passkey is sent, and the options for the browser.
func (b *browser) passkeyPage() (path, options string) {
	b.t.Helper()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).path()
	page := b.visit(form).wantStatus(http.StatusOK)
	found := passkeyPlace.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("no passkey on the page: %s", page.body)
	}
	return html.UnescapeString(found[1]), html.UnescapeString(found[2])
}

func (b *browser) passkey(path string, answer []byte) answer {
	return b.post(path, url.Values{"credential": {string(answer)}})
}

// What is wrong with a passkey is nobody's business: a stranger learns nothing of which users and keys there are.
func TestStrangersLearnNothingByPasskeys(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	s, key := startPasskeys(t, kept)
	signed := func(k *factortest.Authenticator, options string) []byte {
		t.Helper()
		made, err := k.Get([]byte(options))
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	with := func(edit func(*factortest.Authenticator)) *factortest.Authenticator {
		k := key.Clone()
		edit(k)
		return k
	}
	unknown := newKey()
	if _, err := unknown.Create([]byte(`{"publicKey":{"rp":{"id":"dex.test"},"user":{"id":"AAAA"},"challenge":"AAAA"}}`)); err != nil {
		t.Fatal(err)
	}
	blank := regexp.MustCompile(`r[a-z2-7]{58}|data-options="[^"]*"|"challenge[^,]*`)
	told := map[string]string{}
	other := s.browser()
	_, foreign := other.passkeyPage()
	for name, answer := range map[string]func(options string) []byte{
		"a key that there isn't": func(o string) []byte { return signed(unknown, o) },
		"a user who isn't there": func(o string) []byte {
			return signed(with(func(k *factortest.Authenticator) { k.UserHandle = make([]byte, 32) }), o)
		},
		"upstream's name for nobody": func(o string) []byte {
			return signed(with(func(k *factortest.Authenticator) { k.UserHandle = []byte("no|local") }), o)
		},
		"a user who is there": func(o string) []byte { return append([]byte{}, wrongSignature(t, signed(key, o))...) },
		"without a PIN": func(o string) []byte {
			return signed(with(func(k *factortest.Authenticator) { k.UserVerified = false }), o)
		},
		"another origin": func(o string) []byte {
			return signed(with(func(k *factortest.Authenticator) { k.Origin = "http://evil.test" }), o)
		},
		"another relying party": func(o string) []byte {
			return signed(with(func(k *factortest.Authenticator) { k.RPID = "evil.test" }), o)
		},
		"another login's challenge": func(string) []byte { return signed(key, foreign) },
		"nothing that can be read":  func(string) []byte { return []byte("{") },
		"nothing":                   func(string) []byte { return nil },
	} {
		b := s.browser()
		path, options := b.passkeyPage()
		a := b.passkey(path, answer(options)).wantStatus(http.StatusUnauthorized)
		told[blank.ReplaceAllString(a.body, "")] = name
	}
	if len(told) != 1 {
		t.Errorf("strangers are told %d different things: %v", len(told), told)
	}

	b := s.browser()
	path, options := b.passkeyPage()
	answer, before := signed(key, options), b.copyOf()
	c := b.claimsOf("shop", b.passkey(path, answer))
	if methodsOf(c) != `["hwk","user","mfa"]` {
		t.Errorf("amr %s", methodsOf(c))
	}
	before.passkey(path, answer).wantStatus(http.StatusUnauthorized) // in the same login
	again := s.browser()
	elsewhere, _ := again.passkeyPage()
	again.passkey(elsewhere, answer).wantStatus(http.StatusUnauthorized)

	// Blocked, and gone.
	users := store.In(kept, identity.Kind)
	admin := identity.Key("08a8684b-db88-4b73-90a9-3cd1661f5466", "local")
	block := func(until time.Time) {
		t.Helper()
		if _, err := users.Update(t.Context(), admin, func(v *identity.Identity) error { v.BlockedUntil = until; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	block(time.Now().Add(time.Hour))
	blocked := s.browser()
	path, options = blocked.passkeyPage()
	blocked.passkey(path, signed(key, options)).wantStatus(http.StatusForbidden)
	block(time.Time{})
	gone := startOn(t, strings.Replace(withPasskeys, "userID: 08a8684b", "userID: 18a8684b", 1), func(store.Store) store.Store { return borrowed{kept} }).browser()
	path, options = gone.passkeyPage()
	gone.passkey(path, signed(key, options)).wantStatus(http.StatusUnauthorized)
}

// wrongSignature spoils an answer's signature.
func wrongSignature(t *testing.T, answer []byte) []byte {
	t.Helper()
	return regexp.MustCompile(`"signature":"[^"]*"`).ReplaceAll(answer, []byte(`"signature":"MEUCIQDx"`))
}

// A storage that fails at any one operation of a login by passkey lets nobody in by it, and the same person in afterwards.
func TestFaultsOfPasskeys(t *testing.T) {
	t.Parallel()
	kept := memory.New()
	_, key := startPasskeys(t, kept)
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			f := &faulty{Store: borrowed{kept}, late: late}
			s := startOn(t, withPasskeys, func(store.Store) store.Store { return f })
			for n := 1; ; n++ {
				b := s.browser()
				path, options := b.passkeyPage()
				signed, err := key.Get([]byte(options))
				if err != nil {
					t.Fatal(err)
				}
				f.failAt, f.failed, f.wrote = n, false, false
				a := b.passkey(path, signed)
				failed := f.failed
				f.failAt = 0
				if !failed {
					if a.appCode() == "" {
						t.Errorf("without a fault: %d %s", a.status, a.header.Get("Location"))
					}
					return
				}
				if f.maybeSettled() && a.appCode() != "" {
					continue
				}
				if a.appCode() != "" || a.status < http.StatusInternalServerError && !strings.Contains(a.header.Get("Location"), "error=server_error") {
					t.Errorf("operation %d failed, and the answer is %d %s", n, a.status, a.header.Get("Location"))
				}
				next := s.browser()
				path, options = next.passkeyPage()
				if signed, err = key.Get([]byte(options)); err != nil {
					t.Fatal(err)
				}
				if a := next.passkey(path, signed); a.appCode() == "" {
					t.Errorf("after operation %d failed, the next login gets %d", n, a.status)
				}
			}
		})
	}
}
