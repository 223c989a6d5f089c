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

// stateAttributes are asked for by name, because some of them are operational: servers don't return them otherwise.
// Those that a server doesn't know are just not there.
var stateAttributes = []string{userAccountControl, accountExpires, pwdAccountLockedTime, nsAccountLock}

// checkState is a *connector.Denied for an account that an administrator has switched off, or whose time is over. A lock
// after wrong passwords is none: it ends by itself, and anybody could end the logins of anybody by guessing passwords.
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

// lockedForGood is the time of a lock that only an administrator takes away (draft-behera-ldap-password-policy, section
// 5.3.3).
const lockedForGood = "000001010000Z"

func isDisabled(user *goldap.Entry) bool {
	return number(user, userAccountControl)&accountDisable != 0 ||
		value(user, pwdAccountLockedTime) == lockedForGood ||
		strings.EqualFold(value(user, nsAccountLock), "true")
}

const (
	// Times of Active Directory count steps of 100 ns since the year 1601.
	stepsPerSecond = 10_000_000
	secondsTo1970  = 11_644_473_600
)

func isExpired(user *goldap.Entry, now time.Time) bool {
	expires := number(user, accountExpires)
	if expires == 0 || expires == math.MaxInt64 { // both stand for never
		return false
	}
	return now.Unix() >= expires/stepsPerSecond-secondsTo1970
}

// number returns the value of an attribute of Active Directory; 0 if there is none. Another directory may have given the name
// to an attribute of its own: what is no number there says nothing.
func number(user *goldap.Entry, attribute string) int64 {
	n, err := strconv.ParseInt(value(user, attribute), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
