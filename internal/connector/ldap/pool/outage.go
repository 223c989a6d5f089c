package pool

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

// An outage is an error that another host may not have.
type outage struct {
	err  error
	lost bool // the connection broke, where the server did not just say nothing or that it is busy
	// answered says that the host works, and only this operation is beyond it.
	answered bool
}

func (o *outage) Error() string { return o.err.Error() }
func (o *outage) Unwrap() error { return o.err }

// outageOf returns nil where the server has answered, and where there was nothing to ask it.
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

// isAnswer reports whether an error is a server's, other than one of the library's own, whose codes are higher.
func isAnswer(err error) bool {
	answer, ok := errors.AsType[*ldap.Error](err)
	return ok && answer.ResultCode < ldap.ErrorNetwork
}

// Answers by which a host says no more than that it can't do it.
var (
	searchFailures = []uint16{
		ldap.LDAPResultOther, ldap.LDAPResultOperationsError, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultLoopDetect,
	}
	// A bind that a server is unwilling to do may be a user's fault: see verdict.
	bindFailures = []uint16{ldap.LDAPResultOther, ldap.LDAPResultOperationsError}
)

// elsewhere makes an outage of an answer with one of some codes: another host may be able to.
func elsewhere(err error, codes []uint16) error {
	if err == nil || outageOf(err) != nil || !ldap.IsErrorAnyOf(err, codes...) {
		return err
	}
	return &outage{err: err, answered: true}
}

// passes reports whether an outage may be over at the next try, without anybody changing anything.
func (o *outage) passes() bool {
	if _, ok := errors.AsType[*accountRefused](o.err); ok {
		return false
	}
	switch {
	// A *tls.CertificateVerificationError, of which the library keeps only the text where it does the handshake.
	case strings.Contains(o.err.Error(), "failed to verify certificate"):
		return false
	case isAnswer(o.err):
		return ldap.IsErrorAnyOf(o.err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultOther,
			ldap.LDAPResultTimeLimitExceeded)
	}
	return true
}

// failures are those of all hosts at one operation.
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

// err returns them, as a *connector.Temporary where trying again can help.
func (f *failures) err() error {
	switch {
	case f.all == nil:
		return errors.New("there is no LDAP server in the settings")
	case f.passes:
		return &connector.Temporary{Cause: f.all}
	}
	return f.all
}
