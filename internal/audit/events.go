package audit

import (
	"net/http"
	"strings"

	"dex/internal/event"
	"dex/internal/oauth"
)

// recordsOf returns what the audit says about an event, which may be nothing; false if nobody has decided.
func recordsOf(e event.Event) ([]*Record, bool) {
	for _, of := range []func(event.Event) ([]*Record, bool){
		ofLogin, ofToken, ofClient, ofSession, ofFactor, ofSelfService, ofOperation, ofAdmin,
	} {
		if records, ok := of(e); ok {
			return records, true
		}
	}
	return nil, false
}

// one returns a single record.
func one(r Record) ([]*Record, bool) {
	if r.Outcome == "" {
		r.Outcome = Success
	}
	return []*Record{&r}, true
}

// nothing is for events that are not in the audit.
func nothing() ([]*Record, bool) { return nil, true }

func byUser() *Actor             { return &Actor{Kind: ActorUser} }
func byClient() *Actor           { return &Actor{Kind: ActorClient} }
func byServer() *Actor           { return &Actor{Kind: ActorServer} }
func by(operator string) *Actor  { return &Actor{Kind: ActorOperator, Name: operator} }
func userOf(userID string) *User { return userNamed(User{ID: userID}) }

// userNamed returns a user that anything is known of.
func userNamed(u User) *User {
	if u == (User{}) {
		return nil
	}
	return &u
}

func ofLogin(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.SignedIn:
		user := User{
			ID: e.UserID, Name: e.Username, PreferredUsername: e.PreferredUsername, Email: e.Email, Groups: new(len(e.Groups)),
		}
		if e.Email != "" {
			user.EmailVerified = &e.EmailVerified
		}
		return one(Record{Type: LoginSucceeded, Actor: byUser(), Client: e.ClientID, Connector: e.ConnectorID, User: &user})
	case event.SessionUsed:
		return one(Record{
			Type: LoginBySession, Actor: byUser(), Client: e.ClientID, Connector: e.ConnectorID, User: userOf(e.UserID), Session: e.SessionID,
		})
	case event.LoginGranted:
		r := aboutLogin(LoginGranted, byUser(), e.Login)
		r.Session = e.SessionID
		return one(r)
	case event.WrongPassword:
		return one(Record{
			Type: LoginPasswordWrong, Outcome: Failure, Reason: ReasonPasswordWrong, Actor: byUser(),
			Client: e.ClientID, Connector: e.ConnectorID, TypedLogin: e.Login,
		})
	case event.LoginFailed:
		return one(loginFailed(e))
	case event.UnknownClient:
		return one(Record{Type: ClientUnknown, Outcome: Failure, Reason: ReasonUnknownClient, Actor: byUser(), Client: e.ClientID})
	case event.UnregisteredRedirect:
		return one(Record{
			Type: ClientRedirect, Outcome: Failure, Reason: ReasonRedirect, Actor: byUser(), Client: e.ClientID,
			Target: &Target{Kind: "redirect URI", ID: e.RedirectURI},
		})
	case event.PasswordChanged:
		return one(Record{Type: PasswordChanged, Actor: byUser(), Connector: e.ConnectorID, User: userOf(e.UserID), Change: "by " + string(e.By)})
	}
	return nil, false
}

func loginFailed(e event.LoginFailed) Record {
	r := Record{
		Type: LoginRefused, Outcome: Failure, Reason: refusal(e.Code, e.Status, e.Err), Actor: byUser(),
		Client: e.ClientID, Connector: e.ConnectorID, User: userOf(e.UserID),
	}
	switch {
	case e.Device:
		r.Page = "device"
	case e.Logout:
		r.Type, r.Page = LogoutRefused, "logout"
	case e.SelfService:
		r.Type, r.Page = SelfServiceRefused, "self-service"
	}
	return r
}

// refusal returns the reason of an answer with an error: what its cause says, if that has a word for it; else what the application is
// told, or what the status says.
func refusal(code string, status int, err error) Reason {
	switch word := event.ReasonOf(err); {
	case word == "limit":
		return ReasonTooMany
	case strings.HasPrefix(word, "policy_"):
		return Reason(word)
	case word != "":
		return Reason("source_" + word)
	}
	if oauth.IsErrorCode(code) {
		return Reason(code)
	}
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed:
		return ReasonBadRequest
	case http.StatusForbidden, http.StatusUnauthorized:
		return ReasonForbidden
	case http.StatusNotFound:
		return ReasonNotFound
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return ReasonTooLarge
	case http.StatusTooManyRequests:
		return ReasonTooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ReasonUnavailable
	case http.StatusInternalServerError:
		return ReasonOurs
	}
	return ReasonOther
}

// aboutLogin returns a record about the login that a token comes from.
func aboutLogin(t Type, actor *Actor, l event.Login) Record {
	r := Record{Type: t, Actor: actor, Client: l.ClientID, Connector: l.ConnectorID, Login: l.ID}
	if l.ConnectorID != "" { // else the client itself is the user
		r.User = userOf(l.UserID)
	}
	return r
}

// misused returns the records of a code or refresh token that was used twice, which ends its login.
func misused(t Type, reason Reason, l event.Login, generation *uint64) ([]*Record, bool) {
	found, ended := aboutLogin(t, byClient(), l), aboutLogin(LoginEnded, byServer(), l)
	found.Outcome, found.Reason, found.Generation = Failure, reason, generation
	ended.Outcome, ended.Reason = Success, reason
	return []*Record{&found, &ended}, true
}

func ofToken(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.TokensIssued:
		r := aboutLogin(TokenIssued, byClient(), e.Login)
		r.Grant, r.Scopes, r.Token, r.Session = e.GrantType, e.Scopes, e.TokenID, e.SessionID
		if e.GrantType == oauth.GrantRefreshToken {
			r.Generation = &e.Generation
		}
		return one(r)
	case event.CodeReplayed:
		return misused(CodeReplayed, ReasonCodeReplayed, e.Login, nil)
	case event.RefreshTokenReused:
		return misused(RefreshReused, ReasonRefreshReused, e.Login, &e.Generation)
	case event.RefreshTokenExpired:
		r := aboutLogin(RefreshExpired, byClient(), e.Login)
		r.Outcome, r.Reason = Failure, ReasonExpired
		return one(r)
	case event.Revoked:
		r := aboutLogin(TokenRevoked, nil, e.Login)
		if e.All {
			r.Type, r.Reason = LoginEnded, ReasonRevoked
		}
		return one(r)
	case event.ForeignToken:
		return one(Record{
			Type: TokenForeign, Outcome: Failure, Reason: ReasonOtherClient, Actor: byClient(), Client: e.ClientID,
			Call: string(e.Endpoint), Target: &Target{Kind: "client", ID: e.OwnerID},
		})
	case event.TokenRefused:
		return one(Record{Type: UserInfoRefused, Outcome: Failure, Reason: ReasonToken, Actor: byClient()})
	}
	return nil, false
}

// refusals are the types of refused requests at the endpoints of applications.
var refusals = map[event.Endpoint]Type{
	event.Token:               TokenRefused,
	event.DeviceAuthorization: DeviceRefused,
	event.Introspection:       IntrospectionRefused,
	event.Revocation:          RevocationRefused,
	event.UserInfo:            UserInfoRefused,
}

func ofClient(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.RequestRefused:
		r := aboutLogin(refusals[e.Endpoint], byClient(), e.Login)
		r.Client = e.ClientID // as sent: the login may be another client's
		r.Outcome, r.Reason, r.Grant = Failure, refusal(e.Code, e.Status, e.Err), e.GrantType
		return one(r)
	case event.ClientRefused:
		reasons := map[event.ClientReason]Reason{
			event.SecretWrong: ReasonSecretWrong, event.SecretMissing: ReasonSecretMissing, event.NoSecretStored: ReasonNoSecret,
		}
		return one(Record{Type: ClientRefused, Outcome: Failure, Reason: reasons[e.Reason], Actor: byClient(), Client: e.ClientID})
	case event.PreviousSecretUsed:
		return one(Record{Type: ClientOldSecret, Actor: byClient(), Client: e.ClientID})
	case event.LogoutTokenSent:
		return one(Record{Type: LogoutTokenSent, Actor: byServer(), Client: e.ClientID, Session: e.SessionID, Attempts: e.Attempts})
	case event.LogoutTokenFailed: // it is tried again
		return nothing()
	case event.LogoutTokenGivenUp:
		return one(Record{
			Type: LogoutTokenGivenUp, Outcome: Failure, Reason: ReasonNotDelivered, Actor: byServer(),
			Client: e.ClientID, Session: e.SessionID, Attempts: e.Attempts,
		})
	}
	return nil, false
}
