package connector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// An Outcome is how an attempt at a source ended, as far as it matters to whoever has to act. It alone decides what users,
// applications, logs and metrics are told; its text is the value in logs and metrics.
type Outcome string

const (
	// Succeeded is no error.
	Succeeded Outcome = "ok"
	// Refused is a *Denied: the source knows the user, who may not come in.
	Refused Outcome = "denied"
	// Cancelled is a *Denied by the user themselves.
	Cancelled Outcome = "cancelled"
	// WrongPassword is no error either: name or password are wrong.
	WrongPassword Outcome = "wrong_password"
	// Gone is ErrGone: the source no longer vouches for the user, who has to sign in again.
	Gone Outcome = "gone"
	// AccountUnusable is an *Unusable: what the source knows of this user is not enough. Another try ends the same way until
	// somebody changes the account or the settings; other users are not affected.
	AccountUnusable Outcome = "account_unusable"
	// TokenRefused is a *BadToken: the application needs another token.
	TokenRefused Outcome = "token_refused"
	// Unavailable is a *Temporary, or a failure of the network: trying again can help.
	Unavailable Outcome = "unavailable"
	// Broken is every other error: until the source, or the settings of its connector, are fixed, nobody can sign in.
	Broken Outcome = "broken"
)

// RetryHelps reports whether the same attempt may succeed later without anybody changing anything.
func (o Outcome) RetryHelps() bool { return o == Unavailable }

// OutcomeOf returns how an attempt ended that returned an error, or nil.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Succeeded
	}
	if denied, ok := errors.AsType[*Denied](err); ok {
		if denied.ByUser {
			return Cancelled
		}
		return Refused
	}
	if errors.Is(err, ErrGone) {
		return Gone
	}
	if _, ok := errors.AsType[*Unusable](err); ok {
		return AccountUnusable
	}
	if _, ok := errors.AsType[*BadToken](err); ok {
		return TokenRefused
	}
	if isTemporary(err) {
		return Unavailable
	}
	return Broken
}

// isTemporary reports whether nothing answered, or whatever did asked to come back later.
func isTemporary(err error) bool {
	if _, ok := errors.AsType[*Temporary](err); ok {
		return true
	}
	if isUntrusted(err) {
		return false
	}
	// A bare number of the system's, as of a file that is not there, has the methods of a net.Error, too.
	if network, ok := errors.AsType[net.Error](err); ok && !isErrno(network) {
		return true
	}
	for _, lost := range []error{
		context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

func isErrno(err error) bool {
	_, ok := err.(syscall.Errno) //nolint:errorlint // this very error, not one that it wraps
	return ok
}

// isUntrusted reports whether something answered, and no TLS connection can be made with it: a certificate or a setting has to
// be changed. To the net package these are failures of the network.
func isUntrusted(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) { // no TLS at all
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// Unusable says that a source vouches for a user whose account lacks what is needed here, such as an e-mail address.
// Reason is a sentence for that user, such as "Your account has no email address."
type Unusable struct {
	Reason string
	// Claim is what is missing, as the source names it, for the developer of an application that exchanges a token of the
	// source; empty where there is no such thing.
	Claim string
	Cause error // for the log; may be nil
}

// Error returns the reason and its cause.
func (u *Unusable) Error() string { return withCause(u.Reason, u.Cause) }

// Unwrap returns the cause.
func (u *Unusable) Unwrap() error { return u.Cause }

// Temporary says that a source can't do its work just now: it is overloaded, restarting, or asked to come back later.
// Failures of the network count as such by themselves.
type Temporary struct{ Cause error }

// Error returns the cause.
func (t *Temporary) Error() string { return t.Cause.Error() }

// Unwrap returns the cause.
func (t *Temporary) Unwrap() error { return t.Cause }

// FromStatus returns the error for an answer of a source whose HTTP status is not the one wanted: a *Temporary where trying
// again can help (RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4), the error as it is elsewhere.
func FromStatus(status int, err error) error {
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented ||
		status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return &Temporary{Cause: err}
	}
	return err
}

// Again says that a login may succeed if the browser is sent to the source once more. The caller does that once; where it
// can't, or has done it already, the attempt has ended as Cause says.
type Again struct {
	Cause error
	Hint  string // given back to Begin, so that it asks in another way; may be empty
}

// Error returns the cause.
func (a *Again) Error() string { return a.Cause.Error() }

// Unwrap returns the cause.
func (a *Again) Unwrap() error { return a.Cause }

func withCause(reason string, cause error) string {
	if cause == nil {
		return reason
	}
	return strings.TrimSuffix(reason, ".") + ": " + cause.Error()
}
