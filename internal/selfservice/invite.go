package selfservice

import (
	"context"
	"errors"
	"time"

	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/mail"
)

// Errors of invitations, for operators.
var (
	ErrOff     = errors.New("localUsers.invitations is off")
	ErrUnknown = errors.New("there is no such user")
	ErrFixed   = errors.New("the user is not in the storage, so the password can't be set here")
	ErrBlocked = errors.New("the user is blocked")
	ErrNoMail  = errors.New("the user's login name is no e-mail address")
)

// Invite returns a link by which a stored user sets a password, whatever they have had before, and until when it is good. It works
// once, in any browser: only the user may get it.
func (s *SelfService) Invite(ctx context.Context, email string) (address string, expires time.Time, err error) {
	u, l, err := s.invitee(ctx, email, false)
	if err != nil {
		return "", time.Time{}, err
	}
	if address, err = s.address(invitation, l); err != nil {
		return "", time.Time{}, err
	}
	s.cfg.Events.Emit(ctx, event.Invited{ConnectorID: connectorID, UserID: u.UserID})
	return address, l.Expires, nil
}

// InviteByMail sends the user such a link. Whoever uses it shows that they read the mail to their address. It doesn't wait until the
// mail is sent; the error is mail.ErrFull if too many are waiting.
func (s *SelfService) InviteByMail(ctx context.Context, email string) (expires time.Time, err error) {
	u, l, err := s.invitee(ctx, email, true)
	if err != nil {
		return time.Time{}, err
	}
	err = s.cfg.Queue.Add(ctx, mail.Job{What: "invitation", Write: func(context.Context) (*mail.Message, error) {
		return s.writeInvitation(u, l)
	}})
	if err != nil { // nobody is invited
		return time.Time{}, err
	}
	s.cfg.Events.Emit(ctx, event.Invited{ConnectorID: connectorID, UserID: u.UserID, Mailed: true})
	return l.Expires, nil
}

// invitee returns a user who can be invited, and a link for them.
func (s *SelfService) invitee(ctx context.Context, email string, mailed bool) (*local.User, *link, error) {
	if !s.cfg.Invitations {
		return nil, nil, ErrOff
	}
	u, outcome, err := s.find(ctx, email)
	switch {
	case err != nil:
		return nil, nil, err
	case outcome == event.ResetUnknown:
		return nil, nil, ErrUnknown
	case outcome == event.ResetFixed:
		return nil, nil, ErrFixed
	case outcome == event.ResetBlocked:
		return nil, nil, ErrBlocked
	case outcome == event.ResetNoMail && mailed:
		return nil, nil, ErrNoMail
	}
	expires := s.cfg.Now().Add(s.cfg.InvitationLifetime)
	return u, &link{Email: local.Key(u.Email), Print: u.Fingerprint(), Expires: expires, Mailed: mailed}, nil
}
