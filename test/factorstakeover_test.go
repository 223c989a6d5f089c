package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"

	"dex/test/upstream"
)

// TestUpstreamsSecondFactorsAreTakenOver has upstream's user go on with the app, the security key and the passkey that upstream knows.
func TestUpstreamsSecondFactorsAreTakenOver(t *testing.T) {
	t.Parallel()
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	janesKey, keyRow := upstreamCredential(t, "key", false)
	janesPasskey, passkeyRow := upstreamCredential(t, "passkey", true)
	c := newConfiguration(t).withFactors()
	enrollAsUpstream(t, c,
		section{"app": section{
			"authenticatorID": "app", "type": "TOTP", "confirmed": true, "createdAt": upstream.CreatedAt,
			"secret": "otpauth://totp/Example:jane@example.com?algorithm=SHA1&digits=6&issuer=Example&period=30&secret=" + secret,
		}},
		section{"key": []section{keyRow}, "passkey": []section{passkeyRow}})
	g := guard(t, c)
	g.of(t, startDex(t, c))

	b := newBrowser(t)
	b.withoutAutofill()
	k := b.plugIn(plainKey).keep(janesKey)
	logIn := func(address, then string) {
		t.Helper()
		b.passwordFormAt(address)
		b.enterPassword(upstream.UserEmail, upstream.UserPassword, then)
	}
	logIn(g.app.at(), codeField)
	b.enterCode(newAuthenticatorApp(secret).code(t), "#claims")
	b.wantMethods("mfa", "otp", "pwd")
	logIn(g.key.at("prompt", "login"), "#claims")
	b.wantMethods("hwk", "mfa", "pwd", "user")
	b.open(g.issuer)
	b.wantText(ownWays, "Jane’s key")
	b.signOut(g)

	k.unplug()
	b.plugIn(laptop).keep(janesPasskey)
	b.passwordFormAt(g.plain.at())
	b.click(withPasskey, "#claims")
	b.wantMethods("hwk", "mfa", "user")
	if got := b.claims(); got.Email != upstream.UserEmail {
		t.Errorf("the passkey signs in %+v", got)
	}
}

// upstreamCredential makes a credential of jane's, as her browser and as upstream have it.
func upstreamCredential(t *testing.T, id string, found bool) (*webauthn.Credential, section) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		t.Fatal(err)
	}
	// A COSE key for ES256 (RFC 9053, 7.1.1).
	public := append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
	public = append(append(public, 0x22, 0x58, 32), point[33:]...)
	c := &webauthn.Credential{
		CredentialID: []byte("the credential " + id), IsResidentCredential: found, RpID: "localhost", PrivateKey: encoded, SignCount: 7,
		UserHandle: []byte(upstream.UserID + "|local"),
	}
	return c, section{
		"credentialID": c.CredentialID, "publicKey": public, "attestationType": "none", "aaguid": make([]byte, 16), "signCount": 7,
		"cloneWarning": false, "transport": []string{"usb"}, "backupEligible": false, "backupState": false,
		"displayName": "Jane’s " + id, "createdAt": time.Now(),
	}
}

// enrollAsUpstream fills the configuration's SQLite database as upstream's development would, with second factors of jane's.
func enrollAsUpstream(t *testing.T, c *configuration, secrets, credentials section) {
	t.Helper()
	if err := upstream.SQLite(t.Context(), c.database, upstream.Development); err != nil {
		t.Fatal(err)
	}
	apps, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(credentials)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", c.database)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "UPDATE user_identity SET mfa_secrets = ?, webauthn_credentials = ? WHERE user_id = ?",
		apps, keys, upstream.UserID)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
