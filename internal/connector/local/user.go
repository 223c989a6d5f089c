package local

import (
	"cmp"
	"strings"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/store"
)

// A User is an entry of the password database. The tags key name the keys of the configuration file, and the tags json the
// members of the stored document, whose key is the e-mail address in lower case. Upstream's custom resource
// Password has the same members.
type User struct {
	Email             string   `key:"email" json:"email,omitempty"` // the login name, case-insensitive
	Hash              Hash     `key:"hash" secret:"file" json:"hash,omitempty"`
	Username          string   `key:"username" json:"username,omitempty"`
	Name              string   `key:"name" json:"name,omitempty"` // the claim name; empty means Username
	PreferredUsername string   `key:"preferredUsername" json:"preferredUsername,omitempty"`
	EmailVerified     *bool    `key:"emailVerified" json:"emailVerified,omitempty"` // nil means true
	UserID            string   `key:"userID" json:"userID,omitempty"`
	Groups            []string `key:"groups" json:"groups,omitempty"`
}

// Kind is the kind of the stored users.
var Kind = store.Declare(store.Declaration[User]{
	Name: "password", Durable: true, Kubernetes: store.EditedObject,
})

// Key returns the key of a user's record.
func Key(email string) string { return strings.ToLower(email) }

// Validate returns what is wrong with a user in its stored form, as a [*config.InvalidError], or nil.
func (u *User) Validate() error {
	on := config.Section{}.Checker()
	u.Check(on, "")
	return on.Problems().Err()
}

// Check reports what is wrong with a user who comes from elsewhere than the file, at a key.
func (u *User) Check(on *config.Checker, key string) { (&written{User: *u}).check(on, key, false) }

// Identity returns what applications learn of the user, as a login finds it.
func (u *User) Identity() connector.Identity {
	return connector.Identity{
		UserID:            u.UserID,
		Username:          cmp.Or(u.Name, u.Username),
		PreferredUsername: u.PreferredUsername,
		Email:             u.Email,
		EmailVerified:     u.verified(),
		Groups:            u.Groups,
	}
}

func (u *User) verified() bool { return u.EmailVerified == nil || *u.EmailVerified }
