package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/store"
)

// errNone says that there is no such session.
var errNone = store.ErrNotFound

// maxAtSource bounds the sessions that one name at a source leads to; the oldest are forgotten.
const maxAtSource = 100

// atSource is the record that leads from what a source calls a session, or a user, to sessions of ours. Its key is a hash of
// connector and name.
type atSource struct {
	Sessions []string  `json:"sessions"`
	Expires  time.Time `json:"expires"`
}

var atSourceKind = store.Declare(store.Declaration[atSource]{
	Name: "sourcesession", Durable: true, Quiet: true,
	Expires: func(a *atSource) time.Time { return a.Expires },
})

func sourceKey(connectorID, what, name string) string {
	return id.Lower(id.Hash(connectorID + "\x00" + what + "\x00" + name))
}

// sourceKeys returns the names by which a source may speak of a session. Its user is found by their owner where the source calls
// them as we do.
func sourceKeys(connectorID string, v *Session) []string {
	var keys []string
	if v.Source.ID != "" {
		keys = append(keys, sourceKey(connectorID, "session", v.Source.ID))
	}
	if v.Source.Subject != "" && v.Source.Subject != v.Identity.UserID {
		keys = append(keys, sourceKey(connectorID, "subject", v.Source.Subject))
	}
	return keys
}

// noteSource makes a session found by what its source calls it.
func (s *Sessions) noteSource(ctx context.Context, connectorID string, v *Session, sessionID string) error {
	for _, key := range sourceKeys(connectorID, v) {
		if err := s.noteKey(ctx, key, sessionID, v.Ends); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sessions) noteKey(ctx context.Context, key, sessionID string, until time.Time) error {
	for {
		_, err := s.source.Create(ctx, key, atSource{Sessions: []string{sessionID}, Expires: until})
		if !errors.Is(err, store.ErrExists) {
			return err
		}
		_, err = s.source.Update(ctx, key, func(a *atSource) error {
			if slices.Contains(a.Sessions, sessionID) && !a.Expires.Before(until) {
				return store.ErrUnchanged
			}
			sessions := slices.DeleteFunc(slices.Clone(a.Sessions), func(other string) bool { return other == sessionID })
			sessions = append(sessions, sessionID)
			a.Sessions = sessions[max(0, len(sessions)-maxAtSource):]
			if a.Expires.Before(until) {
				a.Expires = until
			}
			return nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// It expired in between.
	}
}

// AtSource returns the sessions that a source says have ended there.
func (s *Sessions) AtSource(ctx context.Context, connectorID string, logout connector.SourceLogout) ([]Entry, error) {
	var keys []string
	for _, name := range logout.Sessions {
		keys = append(keys, sourceKey(connectorID, "session", name))
	}
	if len(keys) == 0 && logout.Subject != "" {
		keys = append(keys, sourceKey(connectorID, "subject", logout.Subject))
	}
	var found []Entry
	for _, key := range keys {
		known, err := s.byKey(ctx, key)
		if err != nil {
			return nil, err
		}
		found = append(found, known...)
	}
	if len(logout.Sessions) == 0 && logout.Subject != "" {
		own, err := s.allOf(ctx, logout.Subject, connectorID)
		if err != nil {
			return nil, err
		}
		found = append(found, own...)
	}
	return slices.DeleteFunc(found, func(e Entry) bool {
		return e.Value.ConnectorID != connectorID || !logout.Means(e.Value.Source, e.Value.AuthTime)
	}), nil
}

// allOf returns all sessions of a user.
func (s *Sessions) allOf(ctx context.Context, userID, connectorID string) ([]Entry, error) {
	var all []Entry
	for q := (store.Query{}); ; q.After = all[len(all)-1].Key {
		page, err := s.Of(ctx, userID, connectorID, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < store.MaxLimit {
			return all, nil
		}
	}
}

func (s *Sessions) byKey(ctx context.Context, key string) ([]Entry, error) {
	known, err := s.source.Get(ctx, key)
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Entry
	for _, sessionID := range known.Value.Sessions {
		e, err := s.Get(ctx, sessionID)
		if isGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}
