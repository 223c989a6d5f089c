package pool

import (
	"errors"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// verdict turns the answer to a simple bind into nil, a *Refused, or an error that says nothing about the password.
func verdict(answer *ldap.SimpleBindResult, err error) error {
	var controls []ldap.Control
	if answer != nil {
		controls = answer.Controls
	}
	if err != nil && outageOf(err) != nil {
		return err // no answer at all
	}
	if reason, ok := policyReason(controls); ok {
		if err == nil {
			err = errors.New("the server accepts the password, but its password policy refuses it")
		}
		return &Refused{Reason: reason, Err: err}
	}
	switch {
	case err == nil:
		return nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultInappropriateAuthentication): // the entry has no password
		return &Refused{Reason: reasonOf(err, controls), Err: err}
	case ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform):
		if reason, ok := wordedReason(err); ok {
			return &Refused{Reason: reason, Err: err}
		}
	}
	return err
}

// Errors of draft-behera-ldap-password-policy-10 6.2 that concern a bind.
const (
	policyPasswordExpired  = 0
	policyAccountLocked    = 1
	policyChangeAfterReset = 2
)

// policyReason returns what a server's password policy says. A warning (the password expires soon, or may be used a few more
// times) is not a refusal.
func policyReason(controls []ldap.Control) (Reason, bool) {
	policy, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok || policy.Grace >= 0 {
		return 0, false
	}
	switch policy.Error {
	case policyPasswordExpired:
		return PasswordExpired, true
	case policyAccountLocked:
		return AccountLocked, true
	case policyChangeAfterReset:
		return MustChange, true
	}
	return 0, false
}

// subCode finds what Active Directory adds to invalidCredentials: a Windows error in hexadecimal, as in
// "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563".
var subCode = regexp.MustCompile(`(?i)\bdata ([0-9a-f]{3,8})\b`)

// subCodes are the Windows errors that say more than that the name (525) or the password (52e) is wrong.
var subCodes = map[string]Reason{
	"530": NotNow, // not at this hour
	"531": NotNow, // not from this machine
	"532": PasswordExpired,
	"533": AccountDisabled,
	"701": AccountExpired,
	"773": MustChange,
	"775": AccountLocked,
}

// reasonOf returns why a server does not accept a password, as far as it says.
func reasonOf(err error, controls []ldap.Control) Reason {
	if found := subCode.FindStringSubmatch(err.Error()); found != nil {
		return subCodes[strings.ToLower(found[1])] // the zero value is WrongPassword
	}
	if reason, ok := wordedReason(err); ok {
		return reason
	}
	// The older control, from Netscape's descendants, comes with a refusal only if the password has expired.
	if ldap.FindControl(controls, ldap.ControlTypeVChuPasswordMustChange) != nil {
		return PasswordExpired
	}
	return WrongPassword
}

// words are the messages of servers that have no code for the reason, in lower case.
var words = map[string]Reason{
	"inactivated":                 AccountDisabled, // 389 Directory Server
	"exceed password retry limit": AccountLocked,   // 389 Directory Server
	"too many failed logins":      AccountLocked,   // FreeIPA
}

// ndsCode finds eDirectory's own error code, as in "NDS error: login lockout (-197)".
var ndsCode = regexp.MustCompile(`(?i)\bNDS error: [^()]*\(-(\d{1,5})\)`)

var ndsCodes = map[string]Reason{
	"197": AccountLocked,
	"217": NotNow, // not at this hour
	"218": NotNow, // not from this machine
	"219": NotNow, // too many sessions
	"220": AccountExpired,
	"222": PasswordExpired,
}

// wordedReason returns the reason that the text of an answer gives.
func wordedReason(err error) (Reason, bool) {
	text := err.Error()
	if found := ndsCode.FindStringSubmatch(text); found != nil {
		reason, ok := ndsCodes[found[1]]
		return reason, ok
	}
	for said, reason := range words {
		if strings.Contains(strings.ToLower(text), said) {
			return reason, true
		}
	}
	return 0, false
}
