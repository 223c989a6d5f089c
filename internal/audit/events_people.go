package audit

import (
	"strconv"

	"dex/internal/event"
)

// endings are why sessions end, and who ended them.
var endings = map[event.SessionEnd]struct {
	reason Reason
	actor  ActorKind
}{
	event.SessionSignedOut: {ReasonSignedOut, ActorUser},
	event.SessionExpired:   {ReasonExpired, ActorServer},
	event.SessionCrowded:   {ReasonReplaced, ActorServer},
	event.SessionRevoked:   {ReasonByOperator, ActorOperator},
	event.SessionAtSource:  {ReasonAtSource, ActorServer},
	event.SessionPassword:  {ReasonPasswordChanged, ActorUser},
	event.SessionGone:      {ReasonSourceRefused, ActorServer},
}

func ofSession(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.SessionEnded:
		how := endings[e.Why]
		return one(Record{
			Type: SessionEnded, Reason: how.reason, Actor: &Actor{Kind: how.actor},
			Connector: e.ConnectorID, User: userOf(e.UserID), Session: e.SessionID,
		})
	case event.OwnChanged:
		return one(Record{
			Type: AccountChanged, Actor: byUser(), Client: e.ClientID, Connector: e.ConnectorID, User: userOf(e.UserID),
			Session: e.SessionID, Change: string(e.What),
		})
	}
	return nil, false
}

// aboutFactor returns a record about the second factors of a user.
func aboutFactor(t Type, actor *Actor, connectorID, userID string, f Factor) Record {
	r := Record{Type: t, Actor: actor, Connector: connectorID, User: userOf(userID)}
	if f != (Factor{}) {
		r.Factor = &f
	}
	return r
}

func factorOf(t Type, f event.Factor) Record {
	return aboutFactor(t, byUser(), f.ConnectorID, f.UserID, Factor{Method: string(f.Method), Authenticator: f.AuthenticatorID})
}

var factorReasons = map[event.FactorRefusal]Reason{
	event.FactorWrong: ReasonCodeWrong, event.FactorReplayed: ReasonReplayed, event.FactorLocked: ReasonLocked,
	event.FactorClone: ReasonCloned, event.FactorCeremony: ReasonCeremony,
}

func ofFactor(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.FactorEnrolled:
		return one(factorOf(FactorEnrolled, e.Factor))
	case event.FactorRemoved:
		r := factorOf(FactorRemoved, e.Factor)
		r.Actor = nil // a user, or an operator, of whom a record admin.changed tells
		return one(r)
	case event.FactorPassed:
		return one(factorOf(FactorPassed, e.Factor))
	case event.FactorRefused:
		r := factorOf(FactorRefused, e.Factor)
		r.Outcome, r.Reason = Failure, factorReasons[e.Reason]
		return one(r)
	case event.FactorsLocked:
		r := aboutFactor(FactorLocked, byServer(), e.ConnectorID, e.UserID, Factor{Wrong: e.Wrong})
		r.Outcome, r.Reason = Failure, ReasonTooMany
		return one(r)
	case event.FactorsUnlocked:
		return one(aboutFactor(FactorUnlocked, nil, e.ConnectorID, e.UserID, Factor{}))
	case event.FactorsReset:
		return one(aboutFactor(FactorReset, nil, e.ConnectorID, e.UserID, Factor{}))
	case event.RecoveryCodesMade:
		return one(aboutFactor(FactorRecoveryMade, byUser(), e.ConnectorID, e.UserID, Factor{Codes: &e.Codes}))
	case event.RecoveryCodeUsed:
		return one(aboutFactor(FactorRecoveryUsed, byUser(), e.ConnectorID, e.UserID, Factor{Codes: &e.Left}))
	}
	return nil, false
}

var resets = map[event.ResetOutcome]Reason{
	event.ResetUnknown: ReasonUnknownUser, event.ResetBlocked: ReasonBlocked, event.ResetFixed: ReasonConfigured, event.ResetNoMail: ReasonNoMail,
}

func ofSelfService(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.PasswordResetAsked:
		r := Record{Type: PasswordResetAsked, Actor: byUser(), Connector: e.ConnectorID, User: userOf(e.UserID)}
		if e.Outcome != event.ResetMailed {
			r.Outcome, r.Reason = Failure, resets[e.Outcome]
		}
		return one(r)
	case event.Invited:
		return one(Record{Type: UserInvited, Connector: e.ConnectorID, User: userOf(e.UserID), Change: "mailed " + strconv.FormatBool(e.Mailed)})
	case event.EmailVerified:
		return one(Record{Type: UserEmailVerified, Actor: byUser(), Connector: e.ConnectorID, User: userOf(e.UserID)})
	case event.MailSent:
		return one(Record{Type: MailSent, Actor: byServer(), User: userOf(e.UserID), Target: &Target{Kind: e.What}, Attempts: e.Attempts})
	case event.MailFailed: // it is tried again
		return nothing()
	case event.MailGivenUp:
		return one(Record{
			Type: MailGivenUp, Outcome: Failure, Reason: ReasonNotDelivered, Actor: byServer(), User: userOf(e.UserID),
			Target: &Target{Kind: e.What}, Attempts: e.Attempts,
		})
	}
	return nil, false
}

func ofOperation(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.SourceAsked, event.Swept, event.LimitReached, event.TokenTooLarge: // metrics count them; who was refused by a limit is in another event
		return nothing()
	case event.ConnectorFailed:
		r := Record{Type: ConnectorFailed, Outcome: Failure, Reason: ReasonNotAnswering, Actor: byServer(), Connector: e.ConnectorID}
		if e.Opening {
			r.Reason = ReasonNotOpened
		}
		return one(r)
	case event.AllConnectorsFail:
		return one(Record{Type: AllConnectorsFailed, Outcome: Failure, Reason: ReasonNotAnswering, Actor: byServer()})
	case event.ConnectorRecovered:
		return one(Record{Type: ConnectorRecovered, Actor: byServer(), Connector: e.ConnectorID, Attempts: e.Failures})
	case event.ConfigurationApplied:
		return one(Record{Type: ConfigurationInUse, Actor: byServer(), Configuration: &Configuration{
			Keys: e.Changed, Clients: changesOf(e.ClientChanges), Users: changesOf(e.UserChanges), Connectors: changesOf(e.ConnectorChanges),
		}})
	case event.KeysRotated:
		next := e.Next.UTC()
		return one(Record{Type: KeysRotated, Actor: byServer(), Next: &next})
	}
	return nil, false
}

func changesOf(d event.Difference) *Changes {
	if d.IsZero() {
		return nil
	}
	return &Changes{Added: d.Added, Changed: d.Changed, Removed: d.Removed}
}

func ofAdmin(e event.Event) ([]*Record, bool) {
	switch e := e.(type) {
	case event.Changed:
		return one(Record{Type: AdminChanged, Actor: by(e.By), Change: string(e.How), Target: &Target{Kind: e.Kind, ID: e.ID}})
	case event.CallEnded:
		r := Record{Type: AdminCall, Actor: by(e.By), Door: e.Door, Call: e.Call}
		switch {
		case e.Denied:
			r.Outcome, r.Reason = Failure, ReasonDenied
		case e.Err != nil:
			r.Outcome, r.Reason = Failure, ReasonCallFailed
		}
		return one(r)
	}
	return nil, false
}
