package telemetry_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/telemetry"
)

var janesApp = event.Factor{ConnectorID: "ldap", UserID: "1", AuthenticatorID: "app", Method: event.FactorTOTP}

// eventLines has the log's line about each event; none for events that the log doesn't mention. Alerts look for these messages
// and attributes.
var eventLines = []struct {
	event event.Event
	line  string
}{
	{
		event.SignedIn{
			ClientID: "app", ConnectorID: "ldap", UserID: "1", Username: "Jane", PreferredUsername: "jane",
			Email: "j@x.test", Groups: []string{"a", "b"},
		},
		`level=INFO msg="login successful" connector_id=ldap user_id=1 username=Jane preferred_username=jane ` +
			`email="j@x.test (unverified)" groups="[a b]"`,
	},
	{
		event.SignedIn{ConnectorID: "ldap", Email: "j@x.test", EmailVerified: true},
		`level=INFO msg="login successful" connector_id=ldap user_id="" username="" preferred_username="" email=j@x.test groups=[]`,
	},
	{
		event.SignedIn{ConnectorID: "ldap"},
		`level=INFO msg="login successful" connector_id=ldap user_id="" username="" preferred_username="" email="" groups=[]`,
	},
	{
		event.WrongPassword{ClientID: "app", ConnectorID: "ldap", Login: "jane"},
		`level=ERROR msg="failed login attempt: Invalid credentials." connector_id=ldap user=jane`,
	},
	{
		event.LoginFailed{ClientID: "app", Path: "/auth", Status: 400, Code: "invalid_scope", Err: errors.New("no")},
		`level=INFO msg="login failed" path=/auth err=no client_id=app`,
	},
	{
		event.LoginFailed{Device: true, Path: "/device/callback", Status: 500, Err: measured{}},
		`level=ERROR msg="device login failed" path=/device/callback outcome=broken err=broken`,
	},
	{
		event.LoginFailed{Logout: true, Path: "/logout", Status: 400, Err: errors.New("no")},
		`level=INFO msg="logout failed" path=/logout err=no`,
	},
	{
		event.PasswordChanged{ConnectorID: "local", UserID: "1", By: event.ByReset},
		`level=INFO msg="password changed" connector_id=local user_id=1 by=reset`,
	},
	{
		event.LoginFailed{SelfService: true, Path: "/reset", Status: 429, Err: errors.New("no")},
		`level=INFO msg="self-service failed" path=/reset err=no`,
	},
	{event.UnknownClient{ClientID: "x"}, `level=ERROR msg="invalid client_id provided" client_id=x`},
	{
		event.UnregisteredRedirect{ClientID: "app", RedirectURI: "x:y"},
		`level=ERROR msg="unregistered redirect_uri" redirect_uri=x:y client_id=app`,
	},
	{event.TokensIssued{GrantType: "refresh_token"}, ""},
	{event.Revoked{}, ""},
	{
		event.CodeReplayed{Login: event.Login{ID: "g", ClientID: "app", UserID: "1"}},
		`level=WARN msg="authorization code used twice, its tokens are revoked" client_id=app token_id=g`,
	},
	{
		event.RefreshTokenReused{Login: event.Login{ID: "g", ClientID: "app"}},
		`level=ERROR msg="refresh token claimed twice" token_id=g client_id=app`,
	},
	{
		event.RefreshTokenExpired{Login: event.Login{ID: "g", ClientID: "app"}},
		`level=INFO msg="refresh token expired" token_id=g`,
	},
	{
		event.ForeignToken{Endpoint: event.Introspection, ClientID: "app", OwnerID: "other"},
		`level=WARN msg="client asked about a token that is not for it" client_id=app`,
	},
	{
		event.ForeignToken{Endpoint: event.Revocation, ClientID: "app", OwnerID: "other"},
		`level=WARN msg="client tried to revoke another client's token" client_id=app owner=other`,
	},
	{
		event.TokenTooLarge{ClientID: "app", Bytes: 9000, Groups: 400},
		`level=WARN msg="a token is too large for the headers of many servers; limit groups, or set tokens.maxGroups" client_id=app bytes=9000 groups=400`,
	},
	{
		event.TokenTooLarge{ClientID: "wiki", Bytes: 900, Groups: 400, ByReference: true},
		`level=WARN msg="a user has more groups than the client's tokens hold, so they refer to UserInfo for them" client_id=wiki bytes=900 groups=400`,
	},
	{
		event.TokenTooLarge{ClientID: "app", Bytes: 9000, Groups: 4, Refused: true},
		`level=ERROR msg="a token would be larger than the client's maxSize, so there is none" client_id=app bytes=9000 groups=4`,
	},
	{event.TokenRefused{Err: errors.New("no")}, `level=INFO msg="userinfo request refused" err=no`},
	{
		event.RequestRefused{Endpoint: event.Token, ClientID: "app", GrantType: "password", Status: 400, Err: errors.New("no")},
		`level=INFO msg="token request refused" grant_type=password client_id=app err=no`,
	},
	{
		event.RequestRefused{Endpoint: event.DeviceAuthorization, Status: 503, Err: measured{}},
		`level=ERROR msg="device authorization request refused" grant_type="" client_id="" outcome=broken err=broken`,
	},
	{
		event.RequestRefused{Endpoint: event.UserInfo, Status: 500, Err: errors.New("no")},
		`level=ERROR msg="userinfo request failed" grant_type="" client_id="" err=no`,
	},
	{
		event.ClientRefused{ClientID: "app", Reason: event.SecretWrong},
		`level=INFO msg="invalid client_secret on token request" client_id=app`,
	},
	{
		event.ClientRefused{ClientID: "app", Reason: event.SecretMissing},
		`level=INFO msg="missing client_secret on token request" client_id=app`,
	},
	{
		event.ClientRefused{ClientID: "app", Reason: event.NoSecretStored},
		`level=ERROR msg="stored client has no secret and is not public" client_id=app`,
	},
	{
		event.FactorEnrolled{Factor: janesApp},
		`level=INFO msg="second factor enrolled" connector_id=ldap user_id=1 authenticator=app method=totp`,
	},
	{
		event.FactorRemoved{Factor: janesApp},
		`level=INFO msg="second factor removed" connector_id=ldap user_id=1 authenticator=app method=totp`,
	},
	{
		event.FactorPassed{Factor: janesApp},
		`level=INFO msg="second factor passed" connector_id=ldap user_id=1 authenticator=app method=totp`,
	},
	{
		event.FactorRefused{Factor: janesApp, Reason: event.FactorWrong, Err: errors.New("no")},
		`level=WARN msg="second factor refused" connector_id=ldap user_id=1 authenticator=app method=totp reason=wrong err=no`,
	},
	{
		event.FactorRefused{Factor: janesApp, Reason: event.FactorClone, Err: errors.New("no")},
		`level=ERROR msg="second factor refused" connector_id=ldap user_id=1 authenticator=app method=totp reason=clone err=no`,
	},
	{
		event.FactorsLocked{ConnectorID: "ldap", UserID: "1", Wrong: 100},
		`level=ERROR msg="codes of a user are locked until an operator unlocks them" connector_id=ldap user_id=1 wrong=100`,
	},
	{event.FactorsUnlocked{ConnectorID: "ldap", UserID: "1"}, `level=INFO msg="codes of a user are unlocked" connector_id=ldap user_id=1`},
	{event.FactorsReset{ConnectorID: "ldap", UserID: "1"}, `level=INFO msg="second factors reset" connector_id=ldap user_id=1`},
	{
		event.RecoveryCodesMade{ConnectorID: "ldap", UserID: "1", Codes: 10},
		`level=INFO msg="recovery codes made" connector_id=ldap user_id=1 codes=10`,
	},
	{
		event.RecoveryCodeUsed{ConnectorID: "ldap", UserID: "1", Left: 9},
		`level=WARN msg="recovery code used" connector_id=ldap user_id=1 left=9`,
	},
	{
		event.SessionUsed{SessionID: "s1", ClientID: "app", ConnectorID: "ldap", UserID: "1"},
		`level=INFO msg="login by session" session_id=s1 client_id=app connector_id=ldap user_id=1`,
	},
	{
		event.SessionEnded{SessionID: "s1", ConnectorID: "ldap", UserID: "1", Why: event.SessionSignedOut},
		`level=INFO msg="logout successful" session_id=s1 connector_id=ldap user_id=1 reason="signed out"`,
	},
	{
		event.SessionEnded{SessionID: "s1", ConnectorID: "ldap", UserID: "1", Why: event.SessionExpired},
		`level=INFO msg="auth session expired" session_id=s1 connector_id=ldap user_id=1 reason=expired`,
	},
	{
		event.OwnChanged{UserID: "1", ConnectorID: "ldap", SessionID: "s1", What: event.ConsentWithdrawn, ClientID: "app"},
		`level=INFO msg="account changed by its user" change="consent withdrawn" client_id=app connector_id=ldap user_id=1 session_id=s1`,
	},
	{event.PreviousSecretUsed{ClientID: "app"}, `level=WARN msg="client still uses its previous secret" client_id=app`},
	{event.LogoutTokenSent{ClientID: "app", SessionID: "s1", Attempts: 2}, `level=INFO msg="logout token delivered" client_id=app session_id=s1 attempts=2`},
	{
		event.LogoutTokenFailed{ClientID: "app", SessionID: "s1", Attempts: 1, Next: time.Unix(0, 0).UTC(), Err: errors.New("no")},
		`level=WARN msg="logout token could not be delivered" client_id=app session_id=s1 attempts=1 next_attempt=1970-01-01T00:00:00.000Z err=no`,
	},
	{event.LogoutTokenFailed{ClientID: "app", Attempts: 2}, ""},
	{
		event.LogoutTokenGivenUp{ClientID: "app", SessionID: "s1", Attempts: 29, Err: errors.New("no")},
		`level=WARN msg="logout token given up" client_id=app session_id=s1 attempts=29 err=no`,
	},
	{event.MailSent{What: "password reset", UserID: "1", Attempts: 2}, `level=INFO msg="mail sent" what="password reset" user_id=1 attempts=2`},
	{event.MailFailed{What: "password reset", UserID: "1", Attempts: 1, Err: errors.New("no")}, ""},
	{
		event.MailGivenUp{What: "password reset", UserID: "1", Attempts: 3, Err: errors.New("no")},
		`level=ERROR msg="mail could not be sent" what="password reset" user_id=1 attempts=3 err=no`,
	},
	{
		event.PasswordResetAsked{ConnectorID: "local", UserID: "1", Outcome: event.ResetBlocked},
		`level=INFO msg="password reset asked for" connector_id=local user_id=1 outcome="the user is blocked"`,
	},
	{
		event.Invited{ConnectorID: "local", UserID: "1", Mailed: true},
		`level=INFO msg="user invited to set a password" connector_id=local user_id=1 mailed=true`,
	},
	{event.EmailVerified{ConnectorID: "local", UserID: "1"}, `level=INFO msg="email address verified" connector_id=local user_id=1`},
	{event.SourceAsked{ConnectorID: "ldap", Operation: "login", Outcome: "ok"}, ""},
	{event.LimitReached{Limit: event.LimitUser}, ""},
	{event.LoginGranted{Login: event.Login{ID: "g1", ClientID: "app"}}, ""},
	{
		event.ConnectorFailed{ConnectorID: "c", Type: "ldap", Err: errors.New("no")},
		`level=ERROR msg="connector fails" id=c type=ldap err=no`,
	},
	{
		event.ConnectorFailed{ConnectorID: "c", Type: "ldap", Opening: true, Err: errors.New("no")},
		`level=ERROR msg="server: Failed to open connector" id=c type=ldap err=no`,
	},
	{event.AllConnectorsFail{}, `level=ERROR msg="all connectors fail: nobody can sign in until one of them recovers"`},
	{
		event.ConnectorRecovered{ConnectorID: "c", Type: "ldap", Failures: 3, Since: time.Unix(0, 0).UTC()},
		`level=INFO msg="connector works again" id=c type=ldap failures=3 since=1970-01-01T00:00:00.000Z`,
	},
	{
		event.ConfigurationApplied{Clients: 1, Users: 2, ConnectorsAdded: 3, ConnectorsKept: 4, ConnectorsClosed: 5},
		`level=INFO msg="configuration applied" clients=1 users=2 connectors_added=3 connectors_kept=4 connectors_closed=5`,
	},
	{
		event.ConfigurationApplied{
			Changed:       []string{"expiry.idTokens", "web.headers"},
			ClientChanges: event.Difference{Added: []string{"a"}, Changed: []string{"b (secret, name)"}},
			UserChanges:   event.Difference{Removed: slices.Repeat([]string{"u"}, 22)},
		},
		`level=INFO msg="configuration applied" clients=0 users=0 connectors_added=0 connectors_kept=0 connectors_closed=0 ` +
			`changed="expiry.idTokens, web.headers" new_clients=a changed_clients="b (secret, name)" ` +
			`removed_users="` + strings.Repeat("u, ", 20) + `2 more"`,
	},
	{event.KeysRotated{Next: time.Unix(0, 0).UTC()}, `level=INFO msg="keys rotated" next_rotation=1970-01-01T00:00:00.000Z`},
	{
		event.Swept{Kind: "code", Removed: 7, Took: 20 * time.Millisecond},
		`level=INFO msg="garbage collection run" kind=code removed=7 took=20ms`,
	},
	{
		event.Changed{By: "ci", How: event.Created, Kind: "client", ID: "app"},
		`level=INFO msg="changed through the management API" by=ci what=created kind=client id=app`,
	},
	{event.CallEnded{By: "ci", Door: "grpc", Call: "ListClients"}, ""},
	{
		event.CallEnded{By: "ci", Door: "grpc", Call: "ListClients", Err: errors.New("no")},
		`level=INFO msg="call of the management API failed" by=ci door=grpc call=ListClients err=no`,
	},
	{
		event.CallEnded{Door: "grpc", Call: "ListClients", Err: errors.New("no"), Denied: true},
		`level=WARN msg="call of the management API denied" by="" door=grpc call=ListClients err=no`,
	},
}

// measured is an error with attributes of its own.
type measured struct{}

func (measured) Error() string   { return "broken" }
func (measured) LogAttrs() []any { return []any{"outcome", "broken"} }

func TestLinesOfEvents(t *testing.T) {
	for _, c := range eventLines {
		var log bytes.Buffer
		telemetry.NewEventLog(slog.New(slog.NewTextHandler(&log, nil))).Emit(t.Context(), c.event)
		_, got, _ := strings.Cut(strings.TrimSuffix(log.String(), "\n"), " ")
		if got != c.line {
			t.Errorf("%T is logged as\n%s\nwant\n%s", c.event, got, c.line)
		}
	}
}

// A new event needs a decision about its line, which may be that there is none, in the log and above.
func TestEveryEventIsDecidedOn(t *testing.T) {
	decided := map[string]bool{}
	for _, c := range eventLines {
		decided[reflect.TypeOf(c.event).Name()] = true
		if !telemetry.Decided(c.event) {
			t.Errorf("the log has no case for %T", c.event)
		}
	}
	declared := declaredEvents(t)
	if len(declared) < 20 {
		t.Fatalf("found only the events %v", declared)
	}
	for _, name := range declared {
		if !decided[name] {
			t.Errorf("nobody has decided what the log says of event.%s", name)
		}
	}
	if telemetry.Decided(unknown{}) {
		t.Error("the log has a case for an event that does not exist")
	}
}

// unknown is an event that is not declared in package event.
type unknown struct{ event.Event }

// declaredEvents returns the names of the events of package event, from its source.
func declaredEvents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../event/*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "event" {
				continue
			}
			if receiver, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				names[receiver.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestFieldsOfEventsAreExcluded(t *testing.T) {
	var log bytes.Buffer
	events := telemetry.NewEventLog(telemetry.NewLogger(&log, "text", slog.LevelInfo, []string{"email", "groups"}))
	events.Emit(t.Context(), event.SignedIn{ConnectorID: "ldap", Email: "j@x.test", Groups: []string{"a"}})
	got := log.String()
	if strings.Contains(got, "email") || strings.Contains(got, "groups") || !strings.Contains(got, "connector_id=ldap") {
		t.Errorf("the log says %s", got)
	}
}

// Large tokens, of which each login makes some, are told of once an hour for each client; refusals besides.
func TestLargeTokensAreToldOfOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := telemetry.NewEventLog(slog.New(slog.NewTextHandler(&b, nil)))
		tell := func(of ...event.TokenTooLarge) int {
			b.Reset()
			for _, e := range of {
				l.Emit(t.Context(), e)
			}
			return strings.Count(b.String(), "\n")
		}
		app, wiki := event.TokenTooLarge{ClientID: "app"}, event.TokenTooLarge{ClientID: "wiki"}
		refused := event.TokenTooLarge{ClientID: "app", Refused: true}
		if n := tell(app, app, wiki, refused, app, refused); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
		time.Sleep(time.Hour)
		if n := tell(app, app); n != 1 {
			t.Errorf("an hour later there are %d lines, want 1", n)
		}
	})
}
