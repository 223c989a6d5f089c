package token_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store/memory"
	"dex/internal/token"
)

func TestLogoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		keys, err := signing.Open(t.Context(), s, signing.Config{
			Algorithm: signing.ES256, RotationPeriod: time.Hour, TokenLifetime: time.Hour,
		}, slog.New(slog.DiscardHandler), event.Discard)
		if err != nil {
			t.Fatal(err)
		}
		const issuer = "https://dex.test"
		text, err := (&token.Minter{Issuer: issuer, Signer: keys}).LogoutToken(t.Context(), token.Logout{
			TokenID: "1", ClientID: "app", Subject: token.Subject("jane", "ldap"), SessionID: "s",
		})
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(text, ".")
		if header := decoded(t, parts[0]); !strings.HasSuffix(header, `,"typ":"logout+jwt"}`) {
			t.Errorf("the header is %s", header)
		}
		now := time.Now().Unix()
		want := fmt.Sprintf(`{"iss":"https://dex.test","sub":%q,"aud":"app","iat":%d,"exp":%d,"jti":"1","sid":"s",`+
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`, token.Subject("jane", "ldap"), now, now+120)
		if got := decoded(t, parts[1]); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}

		// It is of our keys, and good for nothing else.
		verifier := &token.Verifier{Issuer: issuer, Keys: keys, Revocations: token.NewRevocations(s, time.Hour)}
		if _, err := keys.Verify(text); err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(t.Context(), text); !errors.Is(err, token.ErrRefused) {
			t.Errorf("as an access token: got %v, want it refused", err)
		}
		if _, err := verifier.VerifyHint(text); !errors.Is(err, token.ErrRefused) {
			t.Errorf("as a hint: got %v, want it refused", err)
		}
	})
}

func decoded(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
