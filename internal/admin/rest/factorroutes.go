package rest

import (
	"net/http"
	"reflect"
	"time"

	"dex/internal/admin"
)

// factorsBody is what a user has set up as second factors.
type factorsBody struct {
	Items         []factorBody `key:"items" required:"true"`
	RecoveryCodes int          `key:"recoveryCodes" required:"true"`
	WrongCodes    int          `key:"wrongCodes"`
	LockedUntil   time.Time    `key:"lockedUntil"`
	Locked        bool         `key:"locked"`
}

// factorBody is a second factor or a passkey.
type factorBody struct {
	ID            string    `key:"id" required:"true"`
	Authenticator string    `key:"authenticator" required:"true"`
	Type          string    `key:"type" required:"true"`
	Name          string    `key:"name"`
	Created       time.Time `key:"created" required:"true"`
	LastUsed      time.Time `key:"lastUsed"`
	Synced        bool      `key:"synced"`
	Clone         bool      `key:"clone"`
}

// blockBody says until when a user is blocked.
type blockBody struct {
	Until string `key:"until"`
}

// blockedBody says what a block has done.
type blockedBody struct {
	Until  time.Time `key:"until" required:"true"`
	Known  bool      `key:"known" required:"true"`
	Ended  int       `key:"ended" required:"true"`
	Logins int       `key:"logins" required:"true"`
}

// invitationBody is a link for a user.
type invitationBody struct {
	URL     string    `key:"url"`
	Expires time.Time `key:"expires"`
}

// people returns the routes about the second factors of users, and about blocking them.
func people() []route {
	const factorsPath, blockPath = identityPath + "/factors", identityPath + "/block"
	return []route{
		{
			id: "listFactors", method: http.MethodGet, path: factorsPath, needs: admin.FactorsList, tag: "factors",
			summary: "List the second factors and passkeys of a user, without what is secret", serve: listFactors,
			answers: []outcome{{http.StatusOK, "What the user has set up", reflect.TypeFor[factorsBody]()}},
		},
		{
			id: "resetFactors", method: http.MethodDelete, path: factorsPath, needs: admin.FactorsReset, tag: "factors",
			summary: "Remove all second factors of a user, and the recovery codes; sessions go on", serve: resetFactors,
			answers: []outcome{{http.StatusNoContent, "The user sets up new ones at the next login that asks for one", nil}},
		},
		{
			id: "removeFactor", method: http.MethodDelete, path: factorsPath + "/{id}", needs: admin.FactorsReset, tag: "factors",
			summary: "Remove one second factor of a user", serve: removeFactor,
			answers: []outcome{{http.StatusNoContent, "It is refused from now on", nil}},
		},
		{
			id: "unlockFactors", method: http.MethodPost, path: factorsPath + "/unlock", needs: admin.FactorsReset, tag: "factors",
			summary: "Check codes of a user again, however many were wrong", serve: unlockFactors,
			answers: []outcome{{http.StatusNoContent, "Codes are checked", nil}},
		},
		{
			id: "blockUser", method: http.MethodPut, path: blockPath, needs: admin.UsersBlock, tag: "identities",
			summary: "Keep a user from signing in, and end their sessions and logins; the user need not have signed in before",
			body:    reflect.TypeFor[blockBody](), serve: blockUser,
			answers: []outcome{{http.StatusOK, "The user is blocked", reflect.TypeFor[blockedBody]()}},
		},
		{
			id: "unblockUser", method: http.MethodDelete, path: blockPath, needs: admin.UsersBlock, tag: "identities",
			summary: "Let a user sign in again", serve: unblockUser,
			answers: []outcome{{http.StatusNoContent, "The user is not blocked", nil}},
		},
		{
			id: "inviteUser", method: http.MethodPost, path: "/users/{email}/invitation", needs: admin.UsersInvite, tag: "users",
			query:   []parameter{{name: "byMail", about: "`true` sends the link to the user, and doesn't return it", truth: true}},
			summary: "Make a link by which a stored user sets a password", serve: inviteUser,
			answers: []outcome{{http.StatusOK, "The link, for the user alone", reflect.TypeFor[invitationBody]()}},
		},
	}
}

func listFactors(c *call) error {
	f, err := c.service().Factors(c.Context(), c.params["user"], c.params["connector"])
	if err != nil {
		return err
	}
	b := factorsBody{
		Items: make([]factorBody, 0, len(f.All)), RecoveryCodes: f.RecoveryCodes, WrongCodes: f.WrongCodes,
		LockedUntil: f.LockedUntil, Locked: f.Locked,
	}
	for i := range f.All {
		found := &f.All[i]
		item := factorBody{
			ID: found.ID, Authenticator: found.Authenticator, Type: found.Type, Created: found.Created, LastUsed: found.LastUsed,
		}
		if k := found.Credential; k != nil {
			item.Name, item.Synced, item.Clone = k.Name, k.BackupEligible, k.Clone
		}
		b.Items = append(b.Items, item)
	}
	return c.answer(http.StatusOK, b)
}

func resetFactors(c *call) error {
	return c.done(c.service().ResetFactors(c.Context(), c.params["user"], c.params["connector"]))
}

func removeFactor(c *call) error {
	return c.done(c.service().RemoveFactor(c.Context(), c.params["user"], c.params["connector"], c.params["id"]))
}

func unlockFactors(c *call) error {
	return c.done(c.service().UnlockCodes(c.Context(), c.params["user"], c.params["connector"]))
}

func blockUser(c *call) error {
	var in blockBody
	if err := c.read(&in); err != nil {
		return err
	}
	var until time.Time
	if in.Until != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, in.Until); err != nil || until.IsZero() {
			return &admin.Error{
				Reason: admin.Invalid, Message: "until: must be a time such as 2030-01-31T00:00:00Z",
				Members: []admin.Member{{Name: "until", Message: "must be a time such as 2030-01-31T00:00:00Z"}},
			}
		}
	}
	done, err := c.service().BlockUser(c.Context(), c.params["user"], c.params["connector"], until)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, blockedBody{done.Until, done.Known, done.Ended.Sessions, done.Ended.Logins})
}

func unblockUser(c *call) error {
	return c.done(c.service().UnblockUser(c.Context(), c.params["user"], c.params["connector"]))
}

func inviteUser(c *call) error {
	byMail := c.param("byMail")
	if byMail != "" && byMail != "true" && byMail != "false" {
		return malformed("byMail must be true or false")
	}
	made, err := c.service().Users.Invite(c.Context(), c.params["email"], byMail == "true")
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, invitationBody{made.URL, made.Expires})
}
