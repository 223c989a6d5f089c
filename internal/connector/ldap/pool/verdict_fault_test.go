package pool

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-ldap/ldap/v3"

	"dex/internal/faulttest"
)

// Directories that report locked accounts only in words were said to have failed, or the password to be wrong.
var _ = faulttest.Add("C-15", func(t *testing.T) {
	const (
		unwilling = ldap.LDAPResultUnwillingToPerform
		invalid   = ldap.LDAPResultInvalidCredentials
	)
	for _, c := range []struct {
		name    string
		code    uint16
		message string
		want    Reason
	}{
		{"FreeIPA", unwilling, "Too many failed logins.\n", AccountLocked},
		{"389", ldap.LDAPResultConstraintViolation, "Exceed password retry limit. Please try later.", AccountLocked},
		{"389, no password", ldap.LDAPResultInappropriateAuthentication, "", WrongPassword},
		{"389, disabled", unwilling, "Account inactivated. Contact system administrator.", AccountDisabled},
		{"eDirectory, locked", unwilling, "NDS error: login lockout (-197)", AccountLocked},
		{"eDirectory, locked, by the other code", invalid, "NDS error: login lockout (-197)", AccountLocked},
		{"eDirectory, disabled or expired", unwilling, "NDS error: log account expired (-220)", AccountExpired},
		{"eDirectory, password expired", invalid, "NDS error: password expired (-222)", PasswordExpired},
		{"eDirectory, hour", unwilling, "NDS error: bad login time (-217)", NotNow},
		{"eDirectory, wrong", invalid, "NDS error: failed authentication (-669)", WrongPassword},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.binds[userDN] = bindAnswer{code: c.code, message: c.message}
				err := newPool(t, nil, f, g).Bind(t.Context(), userDN, userPW)
				refused, isRefused := errors.AsType[*Refused](err)
				if !isRefused || refused.Reason != c.want || g.dialed > 0 {
					t.Errorf("error %v, want %q", err, c.want)
				}
			})
		})
	}
	t.Run("an answer of eDirectory's that says nothing of the user", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.binds[userDN] = bindAnswer{code: unwilling, message: "NDS error: unknown (-6000)"}
			err := newPool(t, nil, f).Bind(t.Context(), userDN, userPW)
			if _, isRefused := errors.AsType[*Refused](err); err == nil || isRefused {
				t.Errorf("error %v", err)
			}
		})
	})
})
