package admin

import (
	"context"
	"fmt"

	"dex/internal/event"
	"dex/internal/refresh"
	"dex/internal/store"
)

// Logins returns the logins of a user of a connector that refresh tokens keep alive.
func (s *Service) Logins(ctx context.Context, userID, connectorID string) ([]refresh.Listed, error) {
	if err := allow(ctx, LoginsList); err != nil {
		return nil, err
	}
	var all []refresh.Listed
	err := s.cfg.Families.List(ctx, userID, connectorID, func(l refresh.Listed) error {
		all = append(all, l)
		return nil
	})
	return all, refusal(err, "logins")
}

// RevokeLogins ends the logins of a user of a connector at a client, or at all clients if the client's id is empty, with all of their
// tokens. It returns how many there were. After an error, repeat it.
func (s *Service) RevokeLogins(ctx context.Context, userID, connectorID, clientID string) (int, error) {
	if err := allow(ctx, LoginsRevoke); err != nil {
		return 0, err
	}
	ended, err := s.endLogins(ctx, Whose{UserID: userID, ConnectorID: connectorID, ClientID: clientID})
	return ended, refusal(err, "logins")
}

// endLogins ends the logins of a user, and returns how many there were. Without a connector it is the user of that id of every
// connector: first of those that there are, by the index of their owners, and then of those that were removed, which takes a walk
// through all logins.
func (s *Service) endLogins(ctx context.Context, whose Whose) (ended int, err error) {
	return s.endOtherLogins(ctx, whose, func(refresh.Listed) bool { return false })
}

// endOtherLogins is endLogins for those that are not excluded.
func (s *Service) endOtherLogins(ctx context.Context, whose Whose, excluded func(refresh.Listed) bool) (ended int, err error) {
	each := func(l refresh.Listed) error {
		if l.UserID != whose.UserID || whose.ClientID != "" && l.ClientID != whose.ClientID || excluded(l) {
			return nil
		}
		ended++
		return s.endLogin(ctx, l)
	}
	if whose.ConnectorID != "" || whose.UserID == "" {
		err = s.cfg.Families.List(ctx, whose.UserID, whose.ConnectorID, each)
		return ended, err
	}
	if !isDryRun(ctx) {
		err = s.eachConnector(ctx, func(connectorID string) error {
			return s.cfg.Families.List(ctx, whose.UserID, connectorID, each)
		})
		if err != nil {
			return ended, err
		}
	}
	return ended, s.cfg.Families.All(ctx, each)
}

// endLogin ends a login with all of its tokens, unless it is only a trial.
func (s *Service) endLogin(ctx context.Context, l refresh.Listed) error {
	if isDryRun(ctx) {
		return nil
	}
	// As at the revocation endpoint: tokens first, so that the login is still found if this is cut off.
	err := s.cfg.Revocations.RevokeLogin(ctx, l.FamilyID)
	if err == nil {
		err = s.cfg.Families.End(ctx, l.FamilyID)
	}
	if err != nil {
		return fmt.Errorf("revoke login: %w", err)
	}
	login := event.Login{ID: l.FamilyID, ClientID: l.ClientID, ConnectorID: l.ConnectorID, UserID: l.UserID}
	s.cfg.Events.Emit(ctx, event.Revoked{Login: login, All: true})
	s.changed(ctx, event.Deleted, "login", l.FamilyID)
	return nil
}

// changed emits that the caller has changed something.
func (s *Service) changed(ctx context.Context, how event.Change, kind, id string) {
	s.cfg.Events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: how, Kind: kind, ID: id})
}

// eachConnector calls a function with the ids of all connectors.
func (s *Service) eachConnector(ctx context.Context, do func(connectorID string) error) error {
	for after := ""; ; {
		page, next, err := s.cfg.Connectors.List(ctx, after, store.MaxLimit)
		if err != nil {
			return err
		}
		for i := range page {
			if err := do(page[i].Value.ID); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}
