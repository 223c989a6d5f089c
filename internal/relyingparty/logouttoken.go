package relyingparty

import (
	"context"
	"errors"
	"slices"
	"time"
)

// logoutEvent is the member of events that makes a token a logout token (OpenID Connect Back-Channel Logout, section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Bounds of logout tokens.
const (
	maxLogoutToken = 16 << 10 // bytes
	// undatedLife is how long a token counts that has no exp, as those of the drafts have none, and longestLogout how long any
	// does: it has to be remembered for that long.
	undatedLife   = 5 * time.Minute
	longestLogout = time.Hour
)

// A LogoutToken is what a provider says of a user who has signed out there.
type LogoutToken struct {
	Subject string // empty where Session says enough
	Session string // the sid; empty for all of the user's
	ID      string // the jti, by which a second use is found out
	Issued  time.Time
	Expires time.Time // when VerifyLogout refuses it, so that it need not be remembered for longer
}

// VerifyLogout reads a logout token that was made for us (OpenID Connect Back-Channel Logout, section 2.6). Whether it was used
// before is up to the caller.
func (t *IDTokens) VerifyLogout(ctx context.Context, m *Metadata, token string) (*LogoutToken, error) {
	if len(token) > maxLogoutToken {
		return nil, invalidf("it is longer than %d bytes", maxLogoutToken)
	}
	said, err := t.Keys.Verify(ctx, m.JWKSURL, token, m.IDAlgorithms())
	if err != nil {
		return nil, err
	}
	if said.Text("iss") == "" {
		return nil, invalidf("it has no iss")
	}
	if err := errors.Join(t.CheckIssuer(said), t.checkLogoutPurpose(token, said), t.checkReceiver(said)); err != nil {
		return nil, err
	}
	logout := &LogoutToken{Subject: said.Text("sub"), Session: said.Text("sid"), ID: said.Text("jti"), Issued: said.Time("iat")}
	_, hasSubject := said["sub"]
	_, hasSession := said["sid"]
	switch {
	case logout.ID == "":
		return nil, invalidf("it has no jti, or none that is a text")
	case !hasSubject && !hasSession:
		return nil, invalidf("it has neither sub nor sid, so that it is about nobody")
	case hasSubject && logout.Subject == "", hasSession && logout.Session == "":
		return nil, invalidf("its sub or sid is no text, or empty")
	}
	return logout, t.checkLogoutTime(said, logout)
}

// checkLogoutPurpose refuses tokens that the same keys have signed for another purpose.
func (t *IDTokens) checkLogoutPurpose(token string, said Claims) error {
	if typ := tokenType(token); !slices.Contains([]string{"", "jwt", "logout+jwt"}, typ) {
		return invalidf("its typ is %q, and must be logout+jwt", typ)
	}
	events, _ := said["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok {
		return invalidf("its events have no object %s, as those of logout tokens do", logoutEvent)
	}
	if _, there := said["nonce"]; there {
		return invalidf("it has a nonce, as ID tokens have and logout tokens must not")
	}
	return nil
}

// checkLogoutTime refuses tokens that are too old, or of the future, and sets until when this one counts.
func (t *IDTokens) checkLogoutTime(said Claims, logout *LogoutToken) error {
	now := time.Now()
	if logout.Issued.IsZero() {
		return invalidf("it has no iat, or none that is a time")
	}
	if logout.Issued.After(now.Add(notBeforeLeeway)) {
		return invalidf("its iat is in the future")
	}
	end := logout.Issued.Add(undatedLife)
	if _, there := said["exp"]; there {
		end = said.Time("exp") // zero, and so long ago, if it is no time
		if most := logout.Issued.Add(longestLogout); end.After(most) {
			end = most
		}
	}
	if logout.Expires = end.Add(t.Skew); now.After(logout.Expires) {
		return invalidf("it has expired")
	}
	return nil
}
