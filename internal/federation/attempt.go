package federation

import (
	"context"
	"errors"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/oauth"
)

// An Operation is what a source is asked to do; its text is the value in logs and metrics.
type Operation string

// What sources are asked to do.
const (
	Login         Operation = "login"          // a browser goes to another provider and comes back
	PasswordForm  Operation = "password"       // our form, with a password or a ticket
	PasswordGrant Operation = "password_grant" // the application shows the password
	Refresh       Operation = "refresh"
	Exchange      Operation = "exchange"
)

// refusals are the codes that say that the user is refused, or what the application has shown (RFC 6749, sections 4.1.2.1
// and 5.2; RFC 8693, section 2.2.2).
var refusals = map[Operation]string{
	Login:         oauth.AccessDenied,
	PasswordForm:  oauth.AccessDenied,
	PasswordGrant: oauth.InvalidGrant,
	Refresh:       oauth.InvalidGrant,
	Exchange:      oauth.InvalidRequest,
}

// A Failure is an attempt at a source that gave no identity. It alone decides what the application is told, so that the same
// cause looks the same everywhere.
type Failure struct {
	ConnectorID string
	Operation   Operation
	Outcome     connector.Outcome
	cause       error
}

// Error returns the cause.
func (f *Failure) Error() string { return f.cause.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.cause }

// LogAttrs returns what belongs in the log line beside the cause.
func (f *Failure) LogAttrs() []any {
	return []any{
		"connector_id", f.ConnectorID, "operation", string(f.Operation), "outcome", string(f.Outcome),
		"retry", f.Outcome.RetryHelps(),
	}
}

// Reason returns a sentence that tells the user why they are refused; empty if it isn't the user who is refused.
func (f *Failure) Reason() string {
	if denied, ok := errors.AsType[*connector.Denied](f.cause); ok {
		return denied.Reason
	}
	if unusable, ok := errors.AsType[*connector.Unusable](f.cause); ok {
		return unusable.Reason
	}
	if f.Outcome == connector.Gone {
		return "The service that you log in with doesn't know your account any more."
	}
	return ""
}

// Answer returns what the application is told.
func (f *Failure) Answer() *oauth.Error {
	return oauth.Errorf(f.code(), "%s", f.description()).Because(f)
}

func (f *Failure) code() string {
	switch f.Outcome {
	case connector.Refused, connector.Cancelled, connector.Gone, connector.AccountUnusable:
		denied, ok := errors.AsType[*connector.Denied](f.cause)
		if ok && denied.Code != "" && f.Operation == Login {
			return denied.Code
		}
		return refusals[f.Operation]
	case connector.TokenRefused:
		// At a login the source itself brought the token.
		if f.Operation == Refresh || f.Operation == Exchange {
			return refusals[f.Operation]
		}
	case connector.Unavailable:
		return oauth.TemporarilyUnavailable
	case connector.Succeeded, connector.WrongPassword, connector.Broken:
	}
	return oauth.ServerError
}

func (f *Failure) description() string {
	switch f.Outcome {
	case connector.Unavailable:
		return "The identity source can't be reached at the moment; try again later."
	case connector.Gone:
		return "The identity source no longer vouches for the user, who has to log in again."
	case connector.TokenRefused:
		return f.tokenRefused()
	case connector.Broken:
		return "The identity source can't be used: it, or the settings of its connector, must be fixed. Trying again won't help."
	case connector.Succeeded, connector.WrongPassword, connector.Refused, connector.Cancelled, connector.AccountUnusable:
	}
	said := f.Reason()
	if f.Outcome == connector.AccountUnusable {
		said = "The account can't be used here: " + said
		unusable, ok := errors.AsType[*connector.Unusable](f.cause)
		if ok && unusable.Claim != "" && f.Operation == Exchange {
			said += " What the source says of it must have " + unusable.Claim + "."
		}
	}
	switch f.Operation {
	case Exchange:
		return "The user of the subject_token is refused: " + said
	case Refresh:
		return "The identity source refuses the user: " + said
	case Login, PasswordForm, PasswordGrant:
	}
	return said
}

func (f *Failure) tokenRefused() string {
	bad, ok := errors.AsType[*connector.BadToken](f.cause)
	if ok && f.Operation == Exchange {
		return "The subject_token is refused: " + bad.Reason
	}
	return "What the identity source has sent is refused; the user has to log in again."
}

// Ended counts how an attempt at a source ended, given its error or nil. It returns a *Failure, or nil.
func (r *Registry) Ended(ctx context.Context, connectorID string, op Operation, err error) error {
	outcome := connector.OutcomeOf(err)
	if !errors.Is(context.Cause(ctx), context.Canceled) { // the caller has gone, which says nothing about the source
		r.Count(ctx, connectorID, op, outcome)
	}
	if err == nil {
		return nil
	}
	return &Failure{ConnectorID: connectorID, Operation: op, Outcome: outcome, cause: err}
}

// Count counts an attempt at a source.
func (r *Registry) Count(ctx context.Context, connectorID string, op Operation, outcome connector.Outcome) {
	r.pool.events.Emit(ctx, event.SourceAsked{ConnectorID: connectorID, Operation: string(op), Outcome: string(outcome)})
}
