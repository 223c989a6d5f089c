package ldap

import (
	"math"
	"strconv"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
)

const (
	disabledReason = "Your account is disabled. Ask your administrator."
	expiredReason  = "Your account has expired. Ask your administrator."

	userAccountControl   = "userAccountControl"   // Active Directory
	accountExpires       = "accountExpires"       // Active Directory
	pwdAccountLockedTime = "pwdAccountLockedTime" // password policy of OpenLDAP and others
	nsAccountLock        = "nsAccountLock"        // 389 Directory Server, FreeIPA
)

// stateAttributes are requested by name, because some are operational, and servers don't return those otherwise. Attributes
// that a server doesn't know are simply missing from the answer.
var stateAttributes = []string{userAccountControl, accountExpires, pwdAccountLockedTime, nsAccountLock}

// checkState returns a *connector.Denied for an account that an administrator has disabled, or that has expired. A lock after
// wrong passwords doesn't count: it passes, and otherwise anybody could log anybody out by guessing passwords.
func (d *directory) checkState(user *goldap.Entry) error {
	if !d.config.AccountState {
		return nil
	}
	if isDisabled(user) {
		return &connector.Denied{Reason: disabledReason}
	}
	if isExpired(user, time.Now()) {
		return &connector.Denied{Reason: expiredReason}
	}
	return nil
}

// accountDisable is a bit of userAccountControl (MS-ADTS, section 2.2.16).
const accountDisable = 2

// lockedForGood marks a lock that only an administrator can lift (draft-behera-ldap-password-policy, section 5.3.3).
const lockedForGood = "000001010000Z"

func isDisabled(user *goldap.Entry) bool {
	return number(user, userAccountControl)&accountDisable != 0 ||
		value(user, pwdAccountLockedTime) == lockedForGood ||
		strings.EqualFold(value(user, nsAccountLock), "true")
}

const (
	// Active Directory counts time in steps of 100 ns since the year 1601.
	stepsPerSecond = 10_000_000
	secondsTo1970  = 11_644_473_600
)

func isExpired(user *goldap.Entry, now time.Time) bool {
	expires := number(user, accountExpires)
	if expires == 0 || expires == math.MaxInt64 { // both mean never
		return false
	}
	return now.Unix() >= expires/stepsPerSecond-secondsTo1970
}

// number returns the value of an attribute of Active Directory; 0 if there is none. Another directory may use the name for an
// attribute of its own, so a value that is not a number is ignored.
func number(user *goldap.Entry, attribute string) int64 {
	n, err := strconv.ParseInt(value(user, attribute), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
