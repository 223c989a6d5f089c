package local

import (
	"bytes"
	"reflect"

	"dex/internal/config"
)

// written is a user as the configuration file has it: the hash may come from an environment variable.
type written struct {
	User

	HashFromEnv string `key:"hashFromEnv"`
}

// Written returns what a user is decoded into from the configuration file.
func Written() reflect.Type { return reflect.TypeFor[written]() }

// Read returns the users of a configuration file, and what is wrong with them or with passwordHashCost. Of users with the
// same e-mail address the last one counts.
func Read(cfg *config.Config) ([]*User, config.Problems) {
	var list []written
	on, file := cfg.StaticPasswords.Check(&list), cfg.File.Checker()
	if len(list) > 0 && !cfg.EnablePasswordDB && !file.IsBroken("enablePasswordDB") {
		on.Errorf("", "need enablePasswordDB: true")
	}
	if err := CheckCost(cfg.PasswordHashCost); err != nil && cfg.PasswordHashCost != 0 {
		file.Errorf("passwordHashCost", "%v", err)
	}
	emails, ids := map[string]int{}, map[string]int{}
	users := make([]*User, 0, len(list))
	for i := range list {
		w, key := &list[i], config.Item("", i)
		w.check(on, key, true)
		if first, twice := emails[Key(w.Email)]; twice && w.Email != "" {
			on.Overrides(key+".email", config.Item("", first), "%q is the e-mail address of staticPasswords[%d] too, regardless of case",
				w.Email, first)
		}
		emails[Key(w.Email)] = i
		w.checkUserID(on, key, i, list, ids)
		users = append(users, &w.User)
	}
	warnOfDear(on, users, HashCost(cfg.PasswordHashCost, users))
	return config.LastOfEach(users, func(u *User) string { return Key(u.Email) }), append(on.Problems(), file.Problems()...)
}

// check reports mistakes in the user itself, after looking up an environment variable. A user in a file whose hash has a bad
// cost is kept, but can't sign in.
func (w *written) check(on *config.Checker, key string, inFile bool) {
	on.Required(key+".email", w.Email, "users log in with it")
	at := key + ".hash"
	if len(w.Hash) == 0 && w.HashFromEnv != "" {
		at += "FromEnv"
		text, ok := on.FromVariable(at, w.HashFromEnv)
		if !ok {
			return
		}
		w.Hash = ParseHash(text)
	}
	switch err := w.Hash.Check(); {
	case err == nil:
	case len(w.Hash) == 0 && inFile:
		on.Errorf(at, "is required, or hashFromEnv with the name of an environment variable")
	case len(w.Hash) == 0:
		on.Errorf(at, "is required")
	case outOfBounds(err) && inFile:
		w.Hash = noPassword
		on.WithConsequence("this user can't sign in", func() { on.Errorf(at, "the password hash of %q %v", w.Email, err) })
	default:
		on.Errorf(at, "the password hash of %q %v", w.Email, err)
	}
}

// checkUserID warns of users whom applications can't tell apart. An empty id counts as an id.
func (w *written) checkUserID(on *config.Checker, key string, i int, list []written, seen map[string]int) {
	first, twice := seen[w.UserID]
	switch {
	case twice && Key(list[first].Email) == Key(w.Email): // was reported as one user
	case twice:
		on.Warnf(key+".userID", "%q is the user ID of staticPasswords[%d] already, so applications cannot tell the two apart", w.UserID, first)
		return
	case w.UserID == "":
		on.Warnf(key+".userID", "is missing, and to applications all users without one are the same user; give each an ID that never "+
			"changes, since with another one they are somebody else")
	}
	seen[w.UserID] = i
}

// HashCost returns the bcrypt cost of a wrong password, whether or not the user exists: the configured cost if it isn't 0,
// and otherwise that of most configured users.
func HashCost(configured int, users []*User) int {
	if configured != 0 {
		return configured
	}
	count, most := map[int]int{}, MinCost
	for _, u := range users {
		if cost, ok := u.cost(); ok {
			count[cost]++
		}
	}
	for cost := MinCost; cost <= MaxCost; cost++ {
		if count[cost] > count[most] {
			most = cost
		}
	}
	return most
}

// cost returns the bcrypt cost of a user's hash; false if it has none, or can't be used.
func (u *User) cost() (int, bool) {
	hash, err := u.Hash.parse()
	return hash.cost, err == nil && hash.argon2id == nil && !bytes.Equal(u.Hash, noPassword)
}

// warnOfDear warns of hashes that cost more than the others.
func warnOfDear(on *config.Checker, users []*User, usual int) {
	for i, u := range users {
		hash, err := u.Hash.parse()
		switch key := config.Item("", i) + ".hash"; {
		case err != nil || !(Hashing{Cost: usual}).dearer(hash):
		case hash.argon2id != nil:
			on.Warnf(key, "the password hash of %q is %s, and others are %s: anybody can tell from the time of a try that there is this "+
				"user; make a new hash with dex hash-password", u.Email, hash, Hashing{Argon2id: true})
		default:
			on.Warnf(key, "the password hash of %q has the bcrypt cost %d, and others %d: anybody can tell from the "+
				"time of a try that there is this user; make a new hash with dex hash-password, or set passwordHashCost", u.Email, hash.cost, usual)
		}
	}
}
