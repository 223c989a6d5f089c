package config

import (
	"encoding/base64"
	"regexp"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// The cost of a hash is bounded below, because cheap hashes can be guessed, and above, because each login would take
// seconds of a processor. Logins with a hash outside have always failed.
const (
	minHashCost = 10
	maxHashCost = 16
)

func (v *validator) staticPasswords() {
	users := v.cfg.StaticPasswords
	if len(users) > 0 && !v.cfg.EnablePasswordDB && !v.IsBroken("enablePasswordDB") {
		v.Errorf("staticPasswords", "need enablePasswordDB: true")
	}
	v.hashCost()
	emails, ids := map[string]int{}, map[string]int{}
	for i := range users {
		key := Item("staticPasswords", i)
		v.passwordHash(key, &users[i])
		v.userEmail(key+".email", users[i].Email, i, emails)
		v.userID(key+".userID", users[i], i, ids)
	}
	v.dearHashes()
}

func (v *validator) hashCost() {
	if cost := v.cfg.PasswordHashCost; cost != 0 && (cost < minHashCost || cost > maxHashCost) {
		v.Errorf("passwordHashCost", "must be from %d to %d, not %d", minHashCost, maxHashCost, cost)
	}
}

// HashCost returns the bcrypt cost that a wrong password has for every name, whether or not there is such a user: what is
// configured, or what most of the configured users have.
func (c *Config) HashCost() int {
	if c.PasswordHashCost != 0 {
		return c.PasswordHashCost
	}
	users, most := map[int]int{}, minHashCost
	for _, u := range c.StaticPasswords {
		if cost, err := bcrypt.Cost([]byte(u.Hash)); err == nil {
			users[cost]++
		}
	}
	for cost := minHashCost; cost <= maxHashCost; cost++ {
		if users[cost] > users[most] {
			most = cost
		}
	}
	return most
}

// dearHashes warns of hashes that cost more than the others.
func (v *validator) dearHashes() {
	usual := v.cfg.HashCost()
	for i, u := range v.cfg.StaticPasswords {
		cost, err := bcrypt.Cost([]byte(u.Hash))
		if err != nil || cost <= usual {
			continue
		}
		v.Warnf(Item("staticPasswords", i)+".hash", "the password hash of %q has the bcrypt cost %d, and others %d: anybody can tell from the "+
			"time of a try that there is this user; make a new hash with dex hash-password, or set passwordHashCost", u.Email, cost, usual)
	}
}

func (v *validator) userEmail(key, email string, i int, seen map[string]int) {
	if !v.Required(key, email, "users log in with it") {
		return
	}
	folded := strings.ToLower(email)
	if first, twice := seen[folded]; twice {
		v.Overrides(key, Item("staticPasswords", first), "%q is the e-mail address of staticPasswords[%d] too, regardless of case", email, first)
	}
	seen[folded] = i
}

// userID warns of users whom applications can't tell apart. An empty id is one, too.
func (v *validator) userID(key string, user Password, i int, seen map[string]int) {
	first, twice := seen[user.UserID]
	switch {
	case twice && strings.EqualFold(v.cfg.StaticPasswords[first].Email, user.Email): // was reported as one user
	case twice:
		v.Warnf(key, "%q is the user ID of staticPasswords[%d] already, so applications cannot tell the two apart", user.UserID, first)
		return
	case user.UserID == "":
		v.Warnf(key, "is missing, and to applications all users without one are the same user; give each an ID that never "+
			"changes, since with another one they are somebody else")
	}
	seen[user.UserID] = i
}

// passwordHash replaces the hash of a user by the bcrypt hash itself.
func (v *validator) passwordHash(key string, user *Password) {
	hash, at := user.Hash, key+".hash"
	if hash == "" {
		if user.HashFromEnv == "" {
			v.Errorf(at, "is required, or hashFromEnv with the name of an environment variable")
			return
		}
		at = key + ".hashFromEnv"
		value, ok := v.FromVariable(at, user.HashFromEnv)
		if !ok {
			return
		}
		hash = value
	}
	decoded, ok := bcryptHash(hash)
	if !ok {
		v.Errorf(at, "the password hash of %q is neither a bcrypt hash, as dex hash-password prints it, "+
			"nor one in base64", user.Email)
		return
	}
	cost, err := bcrypt.Cost([]byte(decoded))
	if err != nil || cost < minHashCost || cost > maxHashCost {
		user.Hash = ""
		v.WithConsequence("this user can't sign in", func() {
			v.Errorf(at, "the password hash of %q has the bcrypt cost %d; it must be from %d to %d; make a new hash with dex hash-password",
				user.Email, cost, minHashCost, maxHashCost)
		})
		return
	}
	user.Hash = decoded
}

var bcryptSyntax = regexp.MustCompile(`^\$2[abxy]?\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// bcryptHash returns the hash that a text is or holds in base64. Line ends are removed: the tools that make hashes
// print one, and a hash with a line end matches no password.
func bcryptHash(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if bcryptSyntax.MatchString(text) {
		return text, true
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	text = strings.TrimSpace(string(data))
	return text, bcryptSyntax.MatchString(text)
}
