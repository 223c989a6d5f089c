package app_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/factor"
	"dex/internal/factor/factortest"
	"dex/internal/store"
)

// A signature that is somebody else's, for somebody else, or for another time lets nobody pass.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	s := startCrowd(t, "key", "", nil)
	anns, bobs := s.newKeyOf("shop", "ann"), s.newKeyOf("shop", "bob")
	b := s.browser()
	at := b.enter("shop", "ann").at("/mfa/webauthn?")
	begin := func() []byte {
		return []byte(b.script(scriptAt(at, "login", "begin"), "{}").wantStatus(http.StatusOK).body)
	}
	sign := func(key *factortest.Authenticator, options []byte) string {
		t.Helper()
		signed, err := key.Get(options)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	with := func(edit func(*factortest.Authenticator)) *factortest.Authenticator {
		key := anns.Clone()
		edit(key)
		return key
	}
	elsewhere := s.browser()
	theirs := elsewhere.script(scriptAt(elsewhere.enter("shop", "bob").at("/mfa/webauthn?"), "login", "begin"), "{}")
	for name, answer := range map[string]string{
		"another user's key":             sign(bobs, openTo(t, begin(), s.factorOf("bob").Credentials[0].ID)),
		"another user's challenge":       sign(bobs, []byte(theirs.body)),
		"another relying party":          sign(with(func(k *factortest.Authenticator) { k.RPID = "evil.test" }), begin()),
		"another origin":                 sign(with(func(k *factortest.Authenticator) { k.Origin = "http://evil.test" }), begin()),
		"another user's name in it":      sign(with(func(k *factortest.Authenticator) { k.UserHandle = []byte("bob|crowd") }), begin()),
		"nobody there":                   sign(with(func(k *factortest.Authenticator) { k.UserAbsent = true }), begin()),
		"nothing":                        "",
		"no JSON":                        "{",
		"a list":                         "[]",
		"a challenge for a registration": sign(anns, challenged(t, begin(), registrationChallenge(t, s))),
	} {
		a := b.script(scriptAt(at, "login", "finish"), answer)
		if a.status != http.StatusUnauthorized || a.text("error") == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	b.visit(at).wantStatus(http.StatusOK)
	if end := b.afterScript(b.assert(at, anns)); end.appCode() == "" {
		t.Errorf("the right key: %d %s", end.status, end.header.Get("Location"))
	}
}

// openTo lets a key answer options that are not for it.
func openTo(t *testing.T, options, id []byte) []byte {
	t.Helper()
	return editOptions(t, options, func(o map[string]any) {
		o["allowCredentials"] = []any{map[string]any{"type": "public-key", "id": base64.RawURLEncoding.EncodeToString(id)}}
	})
}

// challenged puts another challenge into options.
func challenged(t *testing.T, options []byte, challenge any) []byte {
	t.Helper()
	return editOptions(t, options, func(o map[string]any) { o["challenge"] = challenge })
}

func editOptions(t *testing.T, options []byte, edit func(map[string]any)) []byte {
	t.Helper()
	var o map[string]map[string]any
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	edit(o["publicKey"])
	edited, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return edited
}

// registrationChallenge is a challenge for somebody who registers their first key.
func registrationChallenge(t *testing.T, s *crowded) any {
	t.Helper()
	b := s.browser()
	begun := b.script(scriptAt(b.enter("shop", "carl").at("/mfa/webauthn?"), "register", "begin"), "{}").wantStatus(http.StatusOK)
	return begun.json()["publicKey"].(map[string]any)["challenge"]
}

// edit changes what one of the crowd has set up, as another tab does.
func (s *crowded) edit(name string, change func(*factor.Record)) {
	s.t.Helper()
	table := store.In(s.store, factor.Kind)
	if _, err := table.Update(s.t.Context(), s.factorKey(name), func(r *factor.Record) error { change(r); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// A factor that was removed in another tab passes nobody, and its page says what comes next.
func TestFactorsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	t.Run("one of two keys", func(t *testing.T) {
		t.Parallel()
		s := startCrowd(t, "key", "", nil)
		key := s.newKeyOf("shop", "ann")
		s.edit("ann", func(r *factor.Record) {
			other := r.Credentials[0]
			other.ID = []byte("another credential of the user's")
			r.Credentials = append(r.Credentials, other)
		})
		b := s.browser()
		at := b.enter("shop", "ann").at("/mfa/webauthn?")
		options := b.script(scriptAt(at, "login", "begin"), "{}")
		s.edit("ann", func(r *factor.Record) { r.Credentials = r.Credentials[1:] })
		signed, err := key.Get([]byte(options.body))
		if err != nil {
			t.Fatal(err)
		}
		if a := b.script(scriptAt(at, "login", "finish"), string(signed)); a.status != http.StatusUnauthorized || a.text("error") == "" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("the only key", func(t *testing.T) {
		t.Parallel()
		s := startCrowd(t, "key", "", nil)
		key := s.newKeyOf("shop", "ann")
		b := s.browser()
		at := b.enter("shop", "ann").at("/mfa/webauthn?")
		options := b.script(scriptAt(at, "login", "begin"), "{}")
		s.edit("ann", func(r *factor.Record) { r.Credentials = nil })
		signed, err := key.Get([]byte(options.body))
		if err != nil {
			t.Fatal(err)
		}
		a := b.script(scriptAt(at, "login", "finish"), string(signed)).wantStatus(http.StatusOK)
		b.visit(b.visit(a.text("redirect")).at("/mfa/webauthn?")).wantStatus(http.StatusOK)
	})
	t.Run("the app", func(t *testing.T) {
		t.Parallel()
		s := startCrowd(t, "otp", "", nil)
		secret, codes := s.newApp("shop", "ann")
		b := s.browser()
		at := b.enter("shop", "ann").at("/mfa/totp?")
		recovery := strings.Replace(at, "/mfa/totp?", "/mfa/recovery?", 1)
		b.visit(recovery).wantStatus(http.StatusOK)
		s.edit("ann", func(r *factor.Record) { r.TOTP, r.RecoveryCodes = nil, nil })
		if a := b.enterCode(at, secret, 0); a.status != http.StatusUnauthorized || a.appCode() != "" {
			t.Errorf("a code of the app gets %d %s", a.status, a.header.Get("Location"))
		}
		if a := b.post(recovery, url.Values{"code": {codes[0]}}); a.status < 400 {
			t.Errorf("a recovery code gets %d %s", a.status, a.header.Get("Location"))
		}
		b.appKey(at)
	})
	t.Run("before the recovery codes are saved", func(t *testing.T) {
		t.Parallel()
		s := startCrowd(t, "otp", "", nil)
		b := s.browser()
		at := b.enter("shop", "ann").at("/mfa/totp?")
		codes := b.enterCode(at, b.appKey(at), 0).at("/mfa/codes?")
		s.edit("ann", func(r *factor.Record) { r.TOTP, r.RecoveryCodes = nil, nil })
		if a := b.visit(codes); a.appCode() == "" {
			t.Errorf("the page of the codes: %d %s", a.status, a.body)
		}
	})
}
