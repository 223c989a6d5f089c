package admin

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/store"
)

// Identities returns a page of the users that have signed in while sessions were on, and where the next one begins; empty after the
// last one.
func (s *Service) Identities(ctx context.Context, after string, limit int) (page []identity.Entry, next string, err error) {
	if err := allow(ctx, SessionsList); err != nil || s.cfg.Sessions == nil {
		return nil, "", err
	}
	if len(after) > store.MaxKey {
		return nil, "", Errorf(Invalid, "the page does not exist")
	}
	limit = store.PageLimit(limit)
	page, err = s.cfg.Identities.Table().List(ctx, store.Query{After: after, Limit: limit})
	if err != nil {
		return nil, "", refusal(err, "list of identities")
	}
	if len(page) == limit {
		next = page[limit-1].Key
	}
	return page, next, nil
}

// Identity returns a user that has signed in while sessions were on.
func (s *Service) Identity(ctx context.Context, userID, connectorID string) (identity.Entry, error) {
	if err := allow(ctx, SessionsList); err != nil {
		return identity.Entry{}, err
	}
	return s.identity(ctx, userID, connectorID)
}

func (s *Service) identity(ctx context.Context, userID, connectorID string) (identity.Entry, error) {
	if s.cfg.Sessions == nil {
		return identity.Entry{}, refusal(store.ErrNotFound, thingOfIdentity(userID, connectorID))
	}
	return s.standing(ctx, userID, connectorID)
}

// standing is identity, with sessions or without.
func (s *Service) standing(ctx context.Context, userID, connectorID string) (identity.Entry, error) {
	e, err := s.cfg.Identities.Get(store.Latest(ctx), userID, connectorID)
	if err == nil && e.Key == "" {
		err = store.ErrNotFound
	}
	return e, refusal(err, thingOfIdentity(userID, connectorID))
}

func thingOfIdentity(userID, connectorID string) string {
	return fmt.Sprintf("identity %q of connector %q", shortened(userID), shortened(connectorID))
}

// DeleteIdentity forgets a user: sessions, logins, what the connector gave for them, for a user of the password database the password,
// what is known of the user, and at last their second factors. After an error the call can be repeated, until nothing is left.
func (s *Service) DeleteIdentity(ctx context.Context, userID, connectorID string) error {
	if err := allow(ctx, SessionsEnd); err != nil {
		return err
	}
	if err := s.knows(ctx, userID, connectorID); err != nil || isDryRun(ctx) {
		return err
	}
	// Passwords first, so that nobody signs in meanwhile. One in the configuration file can't be deleted, and keeps nothing else.
	kept := s.deletePasswords(ctx, userID, connectorID)
	if kept != nil && ReasonOf(kept) != ReadOnly {
		return during("purge password", kept)
	}
	whose := Whose{UserID: userID, ConnectorID: connectorID}
	if err := s.endSessions(ctx, whose, &Ended{}); err != nil {
		return during("purge auth sessions", refusal(err, "sessions"))
	}
	if _, err := s.endLogins(ctx, whose); err != nil {
		return during("purge refresh tokens", refusal(err, "logins"))
	}
	if err := s.cfg.Offline.Delete(ctx, userID, connectorID); err != nil {
		return during("purge offline sessions", refusal(err, "offline session"))
	}
	if kept != nil {
		return during("purge password", kept)
	}
	err := s.cfg.Identities.Delete(ctx, userID, connectorID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return during("delete user identity", refusal(err, thingOfIdentity(userID, connectorID)))
	}
	// After the identity, which may have factors from upstream: they would be taken over once more. If this fails the user keeps theirs.
	if err := s.cfg.Factors.Forget(ctx, userOf(userID, connectorID)); err != nil {
		return during("delete second factors", refusal(err, thingOfFactors(userID, connectorID)))
	}
	s.changed(ctx, event.Deleted, "identity", connectorID+"/"+userID)
	return nil
}

// during puts what was being done before the message of an error.
func during(doing string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	with := *e
	with.Message = doing + ": " + e.Message
	return &with
}

// deletePasswords deletes the records of a user in the password database. Another connector's user of the same address keeps theirs.
func (s *Service) deletePasswords(ctx context.Context, userID, connectorID string) error {
	if connectorID != federation.LocalID {
		return nil
	}
	var kept error
	for after := ""; ; {
		page, next, err := s.cfg.Users.List(ctx, after, store.MaxLimit)
		if err != nil {
			return refusal(err, "list of users")
		}
		for i := range page {
			if page[i].Value.UserID != userID {
				continue
			}
			err := s.Users.Delete(ctx, page[i].Value.Email, "")
			switch {
			case err == nil, ReasonOf(err) == NotFound:
			case ReasonOf(err) == ReadOnly:
				kept = err
			default:
				return err
			}
		}
		if next == "" {
			return kept
		}
		after = next
	}
}

// RevokeConsent takes back what a user has let a client have, so that the client has to ask again.
func (s *Service) RevokeConsent(ctx context.Context, userID, connectorID, clientID string) error {
	if err := allow(ctx, SessionsEnd); err != nil {
		return err
	}
	if _, err := s.identity(ctx, userID, connectorID); err != nil {
		return err
	}
	thing := fmt.Sprintf("consent of %s for client %q", thingOfIdentity(userID, connectorID), shortened(clientID))
	if isDryRun(ctx) {
		e, err := s.identity(ctx, userID, connectorID)
		if _, given := e.Value.Consents[clientID]; err == nil && !given {
			err = refusal(store.ErrNotFound, thing)
		}
		return err
	}
	if err := s.cfg.Identities.Withdraw(ctx, userID, connectorID, clientID); err != nil {
		return refusal(err, thing)
	}
	s.changed(ctx, event.Deleted, "consent", clientID+" of "+connectorID+"/"+userID)
	return nil
}
