package local

import (
	"cmp"
	"strings"

	"dex/internal/store"
)

// A Document is a user in the storage, under the e-mail address in lower case. The members are those of upstream's custom
// resource Password.
type Document struct {
	Email             string   `json:"email,omitempty"`
	Hash              []byte   `json:"hash,omitempty"` // bcrypt
	Username          string   `json:"username,omitempty"`
	Name              string   `json:"name,omitempty"` // for the claim name; Username where it is empty
	PreferredUsername string   `json:"preferredUsername,omitempty"`
	EmailVerified     *bool    `json:"emailVerified,omitempty"` // absent means true
	UserID            string   `json:"userID,omitempty"`
	Groups            []string `json:"groups,omitempty"`
}

// Kind is the kind of the stored users.
var Kind = store.Declare(store.Declaration[Document]{
	Name: "password", Durable: true, Kubernetes: store.EditedObject,
})

// Key returns the key of a user's record.
func Key(email string) string { return strings.ToLower(email) }

func (d *Document) user() User {
	return User{
		Email:             d.Email,
		Hash:              d.Hash,
		UserID:            d.UserID,
		Username:          cmp.Or(d.Name, d.Username),
		PreferredUsername: d.PreferredUsername,
		EmailVerified:     d.EmailVerified == nil || *d.EmailVerified,
		Groups:            d.Groups,
		stored:            true,
	}
}
