package factor_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"dex/internal/factor"
	"dex/internal/identity"
	"dex/internal/store"
)

const upstreamSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// left lets upstream have enrolled factors for Jane.
func (x *fixture) left(t *testing.T, secrets, credentials string) {
	t.Helper()
	records, err := identity.Adopted(x.store, identity.Legacy{
		UserID: jane.UserID, ConnectorID: jane.ConnectorID,
		Factors: identity.UpstreamFactors{MFASecrets: json.RawMessage(secrets), WebAuthnCredentials: json.RawMessage(credentials)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := x.store.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
}

func upstreamApp(members string) string {
	uri := "otpauth://totp/My%20Dex:%28local%29%20jane@example.com?algorithm=SHA1&digits=6&issuer=My+Dex&period=30&secret=" + upstreamSecret
	return fmt.Sprintf(`{"app":{"authenticatorID":"app","type":"TOTP","secret":%q,"createdAt":"2026-08-01T10:00:00Z"%s}}`, uri, members)
}

func TestUpstreamApp(t *testing.T) {
	x := newFixture(t)
	current := x.now.Unix() / 30
	x.left(t, upstreamApp(fmt.Sprintf(`,"confirmed":true,"lastUsedCounter":%d`, current)), "")
	r := x.record(t)
	if !r.Has("app") || !r.TOTP["app"].Created.Equal(time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)) || !r.TOTP["app"].LastUsed.Equal(x.now) {
		t.Errorf("jane has %+v", r)
	}
	if _, err := x.store.Get(t.Context(), "factor", identity.Key(jane.UserID, jane.ConnectorID)); err == nil {
		t.Error("a read has stored the record")
	}
	wantErr(t, x.CheckTOTP(t.Context(), jane, "app", factor.Code(upstreamSecret, x.now)), factor.ErrReplayed)
	next := factor.Code(upstreamSecret, x.now.Add(step))
	errs := x.inParallel(t, 20, func(f *factor.Factors) error { return f.CheckTOTP(t.Context(), jane, "app", next) })
	if passed, replayed := count(errs, nil), count(errs, factor.ErrReplayed); passed != 1 || replayed != 19 {
		t.Errorf("%d passed, %d were replayed: %v", passed, replayed, errs)
	}
	if err := x.Reset(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
	if r := x.record(t); r.Any() {
		t.Errorf("after a reset jane has %+v", r)
	}
}

func TestUpstreamGuessesAreCounted(t *testing.T) {
	x := newFixture(t)
	x.left(t, upstreamApp(`,"confirmed":true`), "")
	code := wrongCode(upstreamSecret, x.now)
	errs := x.inParallel(t, 50, func(f *factor.Factors) error { return f.CheckTOTP(t.Context(), jane, "app", code) })
	if n := count(errs, factor.ErrWrong); n != 5 {
		t.Errorf("%d guesses were looked at", n)
	}
}

// A secret that upstream has shown to whoever had the password, and nobody has confirmed, is worth nothing.
func TestUnconfirmedUpstreamApp(t *testing.T) {
	x := newFixture(t)
	x.left(t, upstreamApp(`,"confirmed":false`), "{}")
	if r := x.record(t); r.Any() {
		t.Errorf("jane has %+v", r)
	}
	x.app(t)
}

func TestUpstreamCredentials(t *testing.T) {
	for name, member := range map[string]func(string) string{
		"as in JSON":       func(name string) string { return name },
		"as in a database": snake,
		"as in Go":         func(name string) string { return strings.ToUpper(name[:1]) + name[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, passwordless())
			a := newKey()
			c := x.key(t, a)
			if _, err := x.assert(t, a); err != nil {
				t.Fatal(err)
			}
			if err := x.Forget(t.Context(), jane); err != nil {
				t.Fatal(err)
			}
			x.left(t, "null", upstreamCredential(t, c, member))
			r := x.record(t)
			if !r.Has("key") || r.Credentials[0].Name != "My key" || r.Credentials[0].SignCount != 1 || r.Credentials[0].Clone {
				t.Fatalf("jane has %+v", r)
			}
			a.UserHandle = []byte(jane.UserID + "|" + jane.ConnectorID)
			if _, err := x.assert(t, a); err != nil {
				t.Error(err)
			}
			u, _, err := x.signIn(t, a)
			if err != nil || u.UserID != jane.UserID || u.ConnectorID != jane.ConnectorID {
				t.Error(u, err)
			}
			x.key(t, newKey())
			if r := x.record(t); len(r.Credentials) != 2 || r.Credentials[0].SignCount != 3 {
				t.Errorf("jane has %+v", r)
			}
		})
	}
}

func snake(name string) string {
	var b strings.Builder
	for _, r := range strings.ReplaceAll(name, "ID", "Id") {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func upstreamCredential(t *testing.T, c factor.Credential, member func(string) string) string {
	t.Helper()
	members := map[string]any{}
	for name, value := range map[string]any{
		"credentialID": c.ID, "publicKey": c.PublicKey, "attestationType": "none", "aaguid": c.AAGUID, "signCount": 1,
		"transport": []string{"usb"}, "backupEligible": false, "backupState": false, "displayName": "My key", "createdAt": c.Created,
	} {
		members[member(name)] = value
	}
	text, err := json.Marshal(map[string]any{"key": []any{members}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUpstreamClone(t *testing.T) {
	x := newFixture(t)
	a := newKey()
	c := x.key(t, a)
	if err := x.Forget(t.Context(), jane); err != nil {
		t.Fatal(err)
	}
	x.left(t, "", fmt.Sprintf(`{"key":[{"credentialID":%q,"publicKey":%q,"cloneWarning":true}]}`,
		base64.StdEncoding.EncodeToString(c.ID), base64.StdEncoding.EncodeToString(c.PublicKey)))
	_, err := x.BeginAssertion(t.Context(), jane, "key", "login")
	wantErr(t, err, factor.ErrClone)
}

// Whoever has factors that can't be read is not somebody without factors, who could enroll others.
func TestUnreadableUpstreamFactors(t *testing.T) {
	for name, c := range map[string]struct{ secrets, credentials string }{
		"a list":                {`[]`, ``},
		"a string":              {`"{}"`, ``},
		"no object":             {`{"app":true}`, ``},
		"no URI":                {`{"app":{"confirmed":true,"secret":"TOPSECRET"}}`, ``},
		"no secret":             {`{"app":{"confirmed":true,"secret":"otpauth://totp/TOPSECRET"}}`, ``},
		"a short secret":        {`{"app":{"confirmed":true,"secret":"otpauth://totp/x?secret=AAAA"}}`, ``},
		"counted codes":         {`{"app":{"confirmed":true,"secret":"otpauth://hotp/x?secret=` + upstreamSecret + `"}}`, ``},
		"longer codes":          {`{"app":{"confirmed":true,"secret":"otpauth://totp/x?digits=8&secret=` + upstreamSecret + `"}}`, ``},
		"another type":          {`{"app":{"confirmed":true,"type":"SMS","secret":"otpauth://totp/x?secret=` + upstreamSecret + `"}}`, ``},
		"contradicting members": {`{"app":{"confirmed":false,"Confirmed":true}}`, ``},
		"credentials no list":   {``, `{"key":{}}`},
		"no credential":         {``, `{"key":[1]}`},
		"no public key":         {``, `{"key":[{"credentialID":"AQI="}]}`},
		"no base64":             {``, `{"key":[{"credentialID":"TOPSECRET!","publicKey":"AQI="}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t)
			x.left(t, c.secrets, c.credentials)
			_, err := x.Get(t.Context(), jane)
			if err == nil || strings.Contains(err.Error(), "TOPSECRET") || strings.Contains(err.Error(), upstreamSecret) {
				t.Fatalf("the error is %v", err)
			}
			if err := x.CheckTOTP(t.Context(), jane, "app", "123456"); err == nil || err == factor.ErrNotEnrolled { //nolint:errorlint // ours
				t.Errorf("the error is %v", err)
			}
			secret := factor.NewTOTPSecret()
			if err := x.ConfirmTOTP(t.Context(), jane, "app", secret, factor.Code(secret, x.now)); err == nil {
				t.Error("another app can be enrolled")
			}
			if _, err := x.register(t, jane, newKey()); err == nil {
				t.Error("a key can be enrolled")
			}
			if records, err := x.store.List(t.Context(), "factor", store.Query{}); err != nil || len(records) > 0 {
				t.Errorf("stored are %v, %v", records, err)
			}
			if err := x.Reset(t.Context(), jane); err != nil {
				t.Fatal(err)
			}
			if _, err := x.register(t, jane, newKey()); err != nil {
				t.Error("after a reset:", err)
			}
		})
	}
}

// An identity that can't be read says nothing of its factors.
func TestUnreadableIdentity(t *testing.T) {
	x := newFixture(t)
	_, err := x.store.Create(t.Context(), store.Record{Kind: "identity", Key: identity.Key(jane.UserID, jane.ConnectorID), Data: []byte("{")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Get(t.Context(), jane); err == nil {
		t.Error("jane has no factors")
	}
}
