package admin

import (
	"context"
	"time"

	"dex/internal/event"
	"dex/internal/identity"
	"dex/internal/store"
)

// maxUserID bounds the ids of users and connectors that nobody has seen yet.
const maxUserID = 1024

// Blocked is what a block has done.
type Blocked struct {
	Until time.Time // identity.Forever for good
	Known bool      // the user has signed in before, or was blocked before
	Ended Ended
}

// BlockUser keeps a user from signing in until a time, or for good if it is zero, and ends their sessions and logins. The user need not
// have signed in before. After an error, repeat it.
func (s *Service) BlockUser(ctx context.Context, userID, connectorID string, until time.Time) (Blocked, error) {
	if err := allow(ctx, UsersBlock); err != nil {
		return Blocked{}, err
	}
	done := Blocked{Until: until.UTC().Truncate(time.Second)}
	if until.IsZero() {
		done.Until = identity.Forever
	}
	if err := s.checkBlock(userID, connectorID, done.Until); err != nil {
		return Blocked{}, err
	}
	// First the block, so that nobody signs in meanwhile.
	var err error
	if done.Known, err = s.block(ctx, userID, connectorID, done.Until); err != nil {
		return Blocked{}, err
	}
	done.Ended, err = s.endAllOf(ctx, Whose{UserID: userID, ConnectorID: connectorID}, true)
	return done, err
}

// checkBlock returns an error for what can't be blocked.
func (s *Service) checkBlock(userID, connectorID string, until time.Time) error {
	switch {
	case s.cfg.Sessions == nil:
		return Errorf(Disabled, "users can be blocked only while the configuration has sessions")
	case userID == "" || connectorID == "":
		return Errorf(Invalid, "say which user: the ID at the connector, and the connector")
	case len(userID) > maxUserID || len(connectorID) > maxUserID:
		return Errorf(Invalid, "the IDs of the user and of the connector must have at most %d bytes", maxUserID)
	case !until.After(time.Now()):
		return invalid("until", "must be in the future")
	case until.After(identity.Forever):
		return invalid("until", "must be before the year 10000")
	}
	return nil
}

func (s *Service) block(ctx context.Context, userID, connectorID string, until time.Time) (known bool, err error) {
	thing := thingOfIdentity(userID, connectorID)
	if isDryRun(ctx) {
		e, err := s.cfg.Identities.Get(store.Latest(ctx), userID, connectorID)
		return e.Key != "", refusal(err, thing)
	}
	if known, err = s.cfg.Identities.Block(ctx, userID, connectorID, until); err != nil {
		return false, refusal(err, thing)
	}
	s.changed(ctx, event.Blocked, "identity", connectorID+"/"+userID)
	return known, nil
}

// UnblockUser lets a user sign in again. It works without sessions too, as blocks from when they were on may still hold.
func (s *Service) UnblockUser(ctx context.Context, userID, connectorID string) error {
	if err := allow(ctx, UsersBlock); err != nil {
		return err
	}
	if _, err := s.standing(ctx, userID, connectorID); err != nil || isDryRun(ctx) {
		return err
	}
	blocked, err := s.cfg.Identities.Unblock(ctx, userID, connectorID)
	if blocked {
		s.changed(ctx, event.Unblocked, "identity", connectorID+"/"+userID)
	}
	return refusal(err, thingOfIdentity(userID, connectorID))
}
