package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dex/internal/config"
	"dex/internal/limit"
	"dex/internal/store"
)

// A Reason is why a call failed. Each door has a status of its own for each.
type Reason int

// The reasons.
const (
	Unavailable     Reason = iota // the storage failed
	Unauthenticated               // nobody knows who calls
	Forbidden                     // the caller's roles don't allow it
	Invalid                       // what is to be stored, or what is asked, isn't valid
	NotFound
	Exists
	Conflict  // it was changed since the caller read it
	ReadOnly  // it is in the configuration file
	Exhausted // there were too many attempts
	Disabled  // a switch turns the method off
)

// An Error is why a call failed. Its text is for the caller, and holds no secret.
type Error struct {
	Reason  Reason
	Message string
	Members []Member // of an Invalid value, if it is known which
	Err     error    // the cause, for the log; nil if there is none
}

// A Member of a value that isn't valid.
type Member struct {
	Name    string // as in the configuration file, such as redirectURIs[1]
	Message string
}

// Error returns the message, with the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return fmt.Sprintf("%s: %v", e.Message, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error without a cause.
func Errorf(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ReasonOf returns why a call failed, for any error of a method.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return Unavailable
}

// Failure returns an error if it is a failure of ours, and nil for what is wrong with a call.
func Failure(err error) error {
	if err == nil || ReasonOf(err) != Unavailable {
		return nil
	}
	return err
}

// refusal returns an error of a catalog as an *Error about a thing, such as `client "app"`. The end of a context stays as it is, as the
// doors know what to make of it.
func refusal(err error, thing string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if invalid, ok := errors.AsType[*store.InvalidError](err); ok {
		return notValid(invalid, thing)
	}
	if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
		return &Error{Reason: Exhausted, Message: exceeded.Message(), Err: err}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &Error{Reason: NotFound, Message: thing + " does not exist"}
	case errors.Is(err, store.ErrExists):
		return &Error{Reason: Exists, Message: thing + " exists already"}
	case errors.Is(err, store.ErrConflict):
		return &Error{Reason: Conflict, Message: thing + " was changed by somebody else; read it again, and repeat the change"}
	}
	return &Error{Reason: Unavailable, Message: thing + ": the storage failed", Err: err}
}

// notValid says which members are wrong, where the room that has checked them knows.
func notValid(err *store.InvalidError, thing string) *Error {
	e := &Error{Reason: Invalid, Message: thing + " is not valid"}
	if found, ok := errors.AsType[*config.InvalidError](err); ok {
		for _, p := range found.Problems {
			e.Members = append(e.Members, Member{strings.TrimPrefix(p.Key, "."), p.Message})
		}
	}
	e.Message += ": " + strings.ReplaceAll(err.Error(), "\n", "; ")
	return e
}
