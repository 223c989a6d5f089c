package federation

import (
	"context"
	"errors"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/oauth"
	"dex/internal/telemetry"
)

// An Operation is what a source is asked to do; its text is the value in logs and metrics.
type Operation string

// What sources are asked to do.
const (
	Login         Operation = "login"          // a browser goes to another provider and comes back
	PasswordForm  Operation = "password"       // our form, with a password or a ticket
	PasswordGrant Operation = "password_grant" // the application shows the password
	// PasswordChange checks the password of a user who is signed in and sets another one.
	PasswordChange Operation = "password_change"
	Refresh        Operation = "refresh"
	Exchange       Operation = "exchange"
)

// refusals are the codes that say that the user is refused, or what the application has shown (RFC 6749, sections 4.1.2.1
// and 5.2; RFC 8693, section 2.2.2).
var refusals = map[Operation]string{
	Login:          oauth.AccessDenied,
	PasswordForm:   oauth.AccessDenied,
	PasswordGrant:  oauth.InvalidGrant,
	PasswordChange: oauth.AccessDenied,
	Refresh:        oauth.InvalidGrant,
	Exchange:       oauth.InvalidRequest,
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

// RefusalReason implements what [event.ReasonOf] looks for: how the attempt ended.
func (f *Failure) RefusalReason() string { return string(f.Outcome) }

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
	case Login, PasswordForm, PasswordGrant, PasswordChange:
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

// An Asking is an attempt at a source that is under way.
type Asking struct {
	registry    *Registry
	connectorID string
	op          Operation
	began       time.Time
	span        telemetry.Span
}

// Asking begins an attempt at a source. Its Ended has to be called.
func (r *Registry) Asking(ctx context.Context, connectorID string, op Operation) (context.Context, *Asking) {
	ctx, span := telemetry.StartSpan(ctx, "source")
	span.Set("dex.connector", connectorID)
	span.Set("dex.operation", string(op))
	return ctx, &Asking{registry: r, connectorID: connectorID, op: op, began: time.Now(), span: span}
}

// Ended counts how the attempt has ended, given its error or nil. It returns a *Failure, or nil.
func (a *Asking) Ended(ctx context.Context, err error) error {
	outcome := connector.OutcomeOf(err)
	if outcome == connector.Unavailable || outcome == connector.Broken {
		a.span.Fail() // the others are answers
	}
	a.Count(ctx, outcome)
	if err == nil {
		return nil
	}
	return &Failure{ConnectorID: a.connectorID, Operation: a.op, Outcome: outcome, cause: err}
}

// Count counts the attempt. One whose caller has gone says nothing about the source.
func (a *Asking) Count(ctx context.Context, outcome connector.Outcome) {
	a.span.Set("dex.outcome", string(outcome))
	defer a.span.End(nil)
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	a.registry.pool.events.Emit(ctx, event.SourceAsked{
		ConnectorID: a.connectorID, Operation: string(a.op), Outcome: string(outcome), Took: time.Since(a.began),
	})
}

// Drop ends an attempt that is not counted: the source was not asked after all, or its answer is counted later.
func (a *Asking) Drop() { a.span.End(nil) }

// NotAsked counts an attempt at a source that could not be asked, as its connector can't be opened.
func (r *Registry) NotAsked(ctx context.Context, connectorID string, op Operation, err error) error {
	outcome := connector.OutcomeOf(err)
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		r.pool.events.Emit(ctx, event.SourceAsked{ConnectorID: connectorID, Operation: string(op), Outcome: string(outcome)})
	}
	return &Failure{ConnectorID: connectorID, Operation: op, Outcome: outcome, cause: err}
}
