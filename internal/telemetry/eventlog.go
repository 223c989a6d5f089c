package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dex/internal/event"
	"dex/internal/oauth"
)

// An EventLog writes the log's lines about events.
type EventLog struct {
	log *slog.Logger

	mu   sync.Mutex // guards told
	told map[string]time.Time
}

const (
	// tellAgainAfter is how long the log says no more of a client's large tokens, of which each login makes some.
	tellAgainAfter = time.Hour
	maxTold        = 1000 // clients that are remembered for it
)

// NewEventLog returns an EventLog that writes to a logger.
func NewEventLog(log *slog.Logger) *EventLog {
	return &EventLog{log: log, told: map[string]time.Time{}}
}

// Emit implements event.Sink.
func (l *EventLog) Emit(ctx context.Context, e event.Event) {
	if large, ok := e.(event.TokenTooLarge); ok && !l.isDue(large) {
		return
	}
	text, ok := lineOf(e)
	if ok && text.message != "" {
		l.log.Log(ctx, text.level, text.message, text.attrs...)
	}
}

// isDue reports whether the log says something about a client's large tokens, and remembers that it does. That they are refused is
// said even if it was said before that they are large.
func (l *EventLog) isDue(e event.TokenTooLarge) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	name, now := fmt.Sprint(e.Refused, " ", e.ClientID), time.Now()
	if last, ok := l.told[name]; ok && now.Sub(last) < tellAgainAfter {
		return false
	}
	if len(l.told) >= maxTold {
		clear(l.told)
	}
	l.told[name] = now
	return true
}

// A line is what the log says about an event; alerts look for these messages and attributes. One without a message isn't
// written.
type line struct {
	level   slog.Level
	message string
	attrs   []any
}

// lineOf returns the line for an event; false if nobody has decided whether it has one.
func lineOf(e event.Event) (line, bool) {
	for _, of := range []func(event.Event) (line, bool){
		lineOfLogin, lineOfFactor, lineOfSession, lineOfToken, lineOfClient, lineOfLogout, lineOfOperation, lineOfAdmin,
		lineOfMail, lineOfSelfService,
	} {
		if text, ok := of(e); ok {
			return text, true
		}
	}
	return line{}, false
}

func infoLine(message string, attrs ...any) (line, bool) {
	return line{slog.LevelInfo, message, attrs}, true
}

func warnLine(message string, attrs ...any) (line, bool) {
	return line{slog.LevelWarn, message, attrs}, true
}

func errorLine(message string, attrs ...any) (line, bool) {
	return line{slog.LevelError, message, attrs}, true
}

// noLine is for events that the log doesn't mention.
func noLine() (line, bool) { return line{}, true }

func lineOfLogin(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.SignedIn:
		email := e.Email
		if email != "" && !e.EmailVerified {
			email += " (unverified)"
		}
		return infoLine("login successful", "connector_id", e.ConnectorID, "user_id", e.UserID, "username", e.Username,
			"preferred_username", e.PreferredUsername, "email", email, "groups", e.Groups)
	case event.LoginGranted: // the log has who signed in, and how
		return noLine()
	case event.WrongPassword:
		return errorLine("failed login attempt: Invalid credentials.", "connector_id", e.ConnectorID, "user", e.Login)
	case event.LoginFailed:
		message := "login failed"
		switch {
		case e.Device:
			message = "device login failed"
		case e.Logout:
			message = "logout failed"
		case e.SelfService:
			message = "self-service failed"
		}
		said, ok := refusalLine(message, e.Status, e.Err, "path", e.Path)
		if e.ClientID != "" {
			said.attrs = append(said.attrs, "client_id", e.ClientID) // last, as alerts know how the line begins
		}
		return said, ok
	case event.PasswordChanged:
		return infoLine("password changed", "connector_id", e.ConnectorID, "user_id", e.UserID, "by", string(e.By))
	case event.UnknownClient:
		return errorLine("invalid client_id provided", "client_id", e.ClientID)
	case event.UnregisteredRedirect:
		return errorLine("unregistered redirect_uri", "redirect_uri", e.RedirectURI, "client_id", e.ClientID)
	}
	return line{}, false
}

func lineOfFactor(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.FactorEnrolled:
		return infoLine("second factor enrolled", factorAttrs(e.Factor)...)
	case event.FactorRemoved:
		return infoLine("second factor removed", factorAttrs(e.Factor)...)
	case event.FactorPassed:
		return infoLine("second factor passed", factorAttrs(e.Factor)...)
	case event.FactorRefused:
		attrs := append(factorAttrs(e.Factor), "reason", string(e.Reason), "err", e.Err)
		if e.Reason == event.FactorClone {
			return errorLine("second factor refused", attrs...)
		}
		return warnLine("second factor refused", attrs...)
	case event.FactorsLocked:
		return errorLine("codes of a user are locked until an operator unlocks them",
			"connector_id", e.ConnectorID, "user_id", e.UserID, "wrong", e.Wrong)
	case event.FactorsUnlocked:
		return infoLine("codes of a user are unlocked", "connector_id", e.ConnectorID, "user_id", e.UserID)
	case event.FactorsReset:
		return infoLine("second factors reset", "connector_id", e.ConnectorID, "user_id", e.UserID)
	case event.RecoveryCodesMade:
		return infoLine("recovery codes made", "connector_id", e.ConnectorID, "user_id", e.UserID, "codes", e.Codes)
	case event.RecoveryCodeUsed:
		return warnLine("recovery code used", "connector_id", e.ConnectorID, "user_id", e.UserID, "left", e.Left)
	}
	return line{}, false
}

func factorAttrs(f event.Factor) []any {
	return []any{"connector_id", f.ConnectorID, "user_id", f.UserID, "authenticator", f.AuthenticatorID, "method", string(f.Method)}
}

func lineOfSession(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.SessionUsed:
		return infoLine("login by session", "session_id", e.SessionID, "client_id", e.ClientID, "connector_id", e.ConnectorID, "user_id", e.UserID)
	case event.SessionEnded:
		message := "logout successful"
		if e.Why == event.SessionExpired {
			message = "auth session expired"
		}
		return infoLine(message, "session_id", e.SessionID, "connector_id", e.ConnectorID, "user_id", e.UserID, "reason", string(e.Why))
	case event.OwnChanged:
		return infoLine("account changed by its user", "change", string(e.What), "client_id", e.ClientID, "connector_id", e.ConnectorID,
			"user_id", e.UserID, "session_id", e.SessionID)
	}
	return line{}, false
}

// refusalLine is for an answer with an error. Its level says whether the failure is ours.
func refusalLine(message string, status int, err error, attrs ...any) (line, bool) {
	attrs = append(append(attrs, oauth.LogAttrs(err)...), "err", err)
	if status >= http.StatusInternalServerError {
		return errorLine(message, attrs...)
	}
	return infoLine(message, attrs...)
}

func lineOfToken(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.TokensIssued, event.Revoked:
		return noLine()
	case event.CodeReplayed:
		return warnLine("authorization code used twice, its tokens are revoked", "client_id", e.ClientID, "token_id", e.ID)
	case event.RefreshTokenReused:
		return errorLine("refresh token claimed twice", "token_id", e.ID, "client_id", e.ClientID)
	case event.RefreshTokenExpired:
		return infoLine("refresh token expired", "token_id", e.ID)
	case event.ForeignToken:
		if e.Endpoint == event.Introspection {
			return warnLine("client asked about a token that is not for it", "client_id", e.ClientID)
		}
		return warnLine("client tried to revoke another client's token", "client_id", e.ClientID, "owner", e.OwnerID)
	case event.TokenTooLarge:
		return largeTokenLine(e)
	case event.TokenRefused:
		return infoLine("userinfo request refused", "err", e.Err)
	}
	return line{}, false
}

func largeTokenLine(e event.TokenTooLarge) (line, bool) {
	attrs := []any{"client_id", e.ClientID, "bytes", e.Bytes, "groups", e.Groups}
	switch {
	case e.Refused:
		return errorLine("a token would be larger than the client's maxSize, so there is none", attrs...)
	case e.ByReference:
		return warnLine("a user has more groups than the client's tokens hold, so they refer to UserInfo for them", attrs...)
	}
	return warnLine("a token is too large for the headers of many servers; limit groups, or set tokens.maxGroups", attrs...)
}

func lineOfClient(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.RequestRefused:
		message := string(e.Endpoint) + " request refused"
		if e.Endpoint == event.UserInfo {
			message = "userinfo request failed"
		}
		return refusalLine(message, e.Status, e.Err, "grant_type", e.GrantType, "client_id", e.ClientID)
	case event.ClientRefused:
		switch e.Reason {
		case event.NoSecretStored:
			return errorLine("stored client has no secret and is not public", "client_id", e.ClientID)
		case event.SecretMissing:
			return infoLine("missing client_secret on token request", "client_id", e.ClientID)
		case event.SecretWrong:
		}
		return infoLine("invalid client_secret on token request", "client_id", e.ClientID)
	case event.PreviousSecretUsed:
		return warnLine("client still uses its previous secret", "client_id", e.ClientID)
	}
	return line{}, false
}

// lineOfLogout warns of the first failure and of the end. There may be dozens of failures between them, for each session.
func lineOfLogout(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.LogoutTokenSent:
		return infoLine("logout token delivered", "client_id", e.ClientID, "session_id", e.SessionID, "attempts", e.Attempts)
	case event.LogoutTokenFailed:
		text := line{slog.LevelWarn, "logout token could not be delivered", []any{
			"client_id", e.ClientID, "session_id", e.SessionID, "attempts", e.Attempts, "next_attempt", e.Next, "err", e.Err,
		}}
		if e.Attempts > 1 {
			text.level = slog.LevelDebug
		}
		return text, true
	case event.LogoutTokenGivenUp:
		return warnLine("logout token given up", "client_id", e.ClientID, "session_id", e.SessionID, "attempts", e.Attempts, "err", e.Err)
	}
	return line{}, false
}

func lineOfOperation(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.SourceAsked, event.LimitReached: // counted; the room that refuses has a line
		return noLine()
	case event.ConnectorFailed:
		message := "connector fails"
		if e.Opening {
			message = "server: Failed to open connector" // upstream's words
		}
		return errorLine(message, "id", e.ConnectorID, "type", e.Type, "err", e.Err)
	case event.AllConnectorsFail:
		return errorLine("all connectors fail: nobody can sign in until one of them recovers")
	case event.ConnectorRecovered:
		return infoLine("connector works again", "id", e.ConnectorID, "type", e.Type, "failures", e.Failures, "since", e.Since)
	case event.ConfigurationApplied:
		return infoLine("configuration applied", append([]any{
			"clients", e.Clients, "users", e.Users, "connectors_added", e.ConnectorsAdded,
			"connectors_kept", e.ConnectorsKept, "connectors_closed", e.ConnectorsClosed,
		}, changesOf(e)...)...)
	case event.KeysRotated:
		return infoLine("keys rotated", "next_rotation", e.Next)
	case event.Swept:
		return infoLine("garbage collection run", "kind", e.Kind, "removed", e.Removed, "took", e.Took)
	}
	return line{}, false
}

// lineOfAdmin has a line for what changes something, and for calls that fail. Those that only read would drown them.
func lineOfAdmin(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.Changed:
		return infoLine("changed through the management API", "by", e.By, "what", e.How, "kind", e.Kind, "id", e.ID)
	case event.CallEnded:
		attrs := []any{"by", e.By, "door", e.Door, "call", e.Call}
		switch {
		case e.Denied:
			return warnLine("call of the management API denied", append(attrs, "err", e.Err)...)
		case e.Err != nil:
			return infoLine("call of the management API failed", append(attrs, "err", e.Err)...)
		}
		return line{slog.LevelDebug, "call of the management API", attrs}, true
	}
	return line{}, false
}

// lineOfMail has one line for each mail. The tries before the last one may be several for each, while the server is down.
func lineOfMail(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.MailSent:
		return infoLine("mail sent", "what", e.What, "user_id", e.UserID, "attempts", e.Attempts)
	case event.MailFailed:
		return line{slog.LevelDebug, "mail could not be sent yet", []any{
			"what", e.What, "user_id", e.UserID, "attempts", e.Attempts, "err", e.Err,
		}}, true
	case event.MailGivenUp:
		return errorLine("mail could not be sent", "what", e.What, "user_id", e.UserID, "attempts", e.Attempts, "err", e.Err)
	}
	return line{}, false
}

// lineOfSelfService has neither links nor addresses.
func lineOfSelfService(e event.Event) (line, bool) {
	switch e := e.(type) {
	case event.PasswordResetAsked:
		return infoLine("password reset asked for", "connector_id", e.ConnectorID, "user_id", e.UserID, "outcome", string(e.Outcome))
	case event.Invited:
		return infoLine("user invited to set a password", "connector_id", e.ConnectorID, "user_id", e.UserID, "mailed", e.Mailed)
	case event.EmailVerified:
		return infoLine("email address verified", "connector_id", e.ConnectorID, "user_id", e.UserID)
	}
	return line{}, false
}

// mostNames bounds how many names of one kind a line has.
const mostNames = 20

// changesOf names what has changed in the configuration.
func changesOf(e event.ConfigurationApplied) []any {
	var attrs []any
	add := func(what string, names []string) {
		if more := len(names) - mostNames; more > 0 {
			names = append(slices.Clone(names[:mostNames]), fmt.Sprintf("%d more", more))
		}
		if len(names) > 0 {
			attrs = append(attrs, what, strings.Join(names, ", "))
		}
	}
	add("changed", e.Changed)
	for _, list := range []struct {
		of string
		event.Difference
	}{{"clients", e.ClientChanges}, {"users", e.UserChanges}, {"connectors", e.ConnectorChanges}} {
		add("new_"+list.of, list.Added)
		add("changed_"+list.of, list.Changed)
		add("removed_"+list.of, list.Removed)
	}
	return attrs
}
