package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

// An outage is a failure that another host may not have.
type outage struct {
	err  error
	lost bool // the connection broke; the server did not just stay silent or say that it is busy
	// answered means that the host works, but can't do this operation.
	answered bool
}

func (o *outage) Error() string { return o.err.Error() }
func (o *outage) Unwrap() error { return o.err }

// outageOf returns nil if the server answered, or was not asked at all.
func outageOf(err error) *outage {
	if _, ok := errors.AsType[*Refused](err); ok {
		return nil
	}
	if known, ok := errors.AsType[*outage](err); ok {
		return known
	}
	switch {
	case err == nil:
		return nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable), errors.Is(err, errSlow):
		return &outage{err: err}
	case ldap.IsErrorAnyOf(err, ldap.ErrorFilterCompile, ldap.ErrorEmptyPassword):
		return nil
	}
	if isAnswer(err) {
		return nil
	}
	return &outage{err: err, lost: true}
}

// isAnswer reports whether an error is a server's answer. The library's own errors have higher codes.
func isAnswer(err error) bool {
	answer, ok := errors.AsType[*ldap.Error](err)
	return ok && answer.ResultCode < ldap.ErrorNetwork
}

// Answers that mean only that this host can't do the operation.
var (
	searchFailures = []uint16{
		ldap.LDAPResultOther, ldap.LDAPResultOperationsError, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultLoopDetect,
	}
	// A server that is unwilling to do a bind may have a reason that is the user's: see verdict.
	bindFailures = []uint16{ldap.LDAPResultOther, ldap.LDAPResultOperationsError}
)

// elsewhere turns an answer with one of the codes into an outage: another host may be able to do the operation.
func elsewhere(err error, codes []uint16) error {
	if err == nil || outageOf(err) != nil || !ldap.IsErrorAnyOf(err, codes...) {
		return err
	}
	return &outage{err: err, answered: true}
}

// passes reports whether an outage may pass by itself.
func (o *outage) passes() bool {
	if _, ok := errors.AsType[*accountRefused](o.err); ok {
		return false
	}
	switch {
	// A *tls.CertificateVerificationError. The library keeps only its text when it does the handshake itself.
	case strings.Contains(o.err.Error(), "failed to verify certificate"):
		return false
	case isAnswer(o.err):
		return ldap.IsErrorAnyOf(o.err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther,
			ldap.LDAPResultTimeLimitExceeded)
	}
	return true
}

// failures are the failures of all hosts at one operation.
type failures struct {
	all    error
	passes bool
}

func (f *failures) add(h *host, o *outage) {
	f.passes = f.passes || o.passes()
	err := fmt.Errorf("LDAP server %s: %w", h.address, o)
	if f.all != nil {
		err = fmt.Errorf("%w; %w", f.all, err)
	}
	f.all = err
}

// err returns them, as a *connector.Temporary if trying again can help.
func (f *failures) err() error {
	switch {
	case f.all == nil:
		return errors.New("there is no LDAP server in the settings")
	case f.passes:
		return &connector.Temporary{Cause: f.all}
	}
	return f.all
}
