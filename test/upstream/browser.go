package upstream

import "time"

// What the development versions keep of browsers: jane's session at the client with a secret, and one that has ended.
const (
	SessionID     = "janessessionjanessessionj"
	SessionSecret = "sessionsecretsessionsecre"
	EndedID       = "endedsessionendedsessione"
	UserAgent     = "Mozilla/5.0 (X11)"
	MFASecrets    = `{"totp":{"authenticatorID":"totp","confirmed":true,"createdAt":"2026-08-01T10:00:00Z","secret":"otpauth://totp/jane","type":"TOTP"}}` //nolint:gosec // G101: made up
)

// When jane signed in, and until when the session lasts. She signed in once more in another browser.
var (
	SignedIn     = time.Now().Add(-30 * time.Minute).UTC().Truncate(time.Millisecond)
	LastLogin    = time.Now().Add(-20 * time.Minute).UTC().Truncate(time.Millisecond)
	SessionEnds  = SignedIn.Add(24 * time.Hour)
	SessionIdles = time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
)

// SessionCookie is what jane's browser has.
var SessionCookie = encodePair(SessionID, SessionSecret)

// A browserSession is one of a browser. All are jane's.
type browserSession struct {
	id, secret   string
	clients      map[string]clientState
	idles, begun time.Time
}

// clientState has upstream's JSON names.
type clientState struct {
	AuthenticatedAt, LastActivity, LastTokenIssuedAt time.Time
	ViaSSO                                           bool
}

func browserSessions() []browserSession {
	states := map[string]clientState{ClientID: {AuthenticatedAt: SignedIn, LastActivity: LastLogin}}
	return []browserSession{
		{SessionID, SessionSecret, states, SessionIdles, SignedIn},
		{EndedID, SessionSecret, states, time.Now().Add(-time.Minute).UTC(), SignedIn},
	}
}

func consents() map[string][]string { return map[string][]string{ClientID: {"openid", "profile"}} }
