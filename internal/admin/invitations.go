package admin

import (
	"context"
	"time"
)

// An Invitation is a link by which a user of the password database sets a password. Whoever has it can, so only the user may get it.
type Invitation struct {
	URL     string // empty if it is sent by mail
	Expires time.Time
}

// Invite invites a user of the password database, whatever password they have. By mail the link is sent to the user, and not
// returned. In a dry run nothing is made.
func (u *Users) Invite(ctx context.Context, email string, byMail bool) (Invitation, error) {
	if err := allow(ctx, UsersInvite); err != nil {
		return Invitation{}, err
	}
	if _, err := u.find(ctx, email, u.kind.conceal); err != nil || isDryRun(ctx) {
		return Invitation{}, err
	}
	made, err := u.invite(ctx, email, byMail)
	return made, refusal(err, u.thing(email))
}
