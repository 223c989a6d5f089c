package admin

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"dex/internal/event"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/store"
)

const (
	// maxScan bounds the sessions that one page of a list looks at.
	maxScan = 10 * store.MaxLimit
	// endAtOnce is how many sessions are ended at once.
	endAtOnce = 8
)

// A SignOut ends sessions.
type SignOut interface {
	// End ends a session, queues what its applications must be told, and ends whatever lives only as long as it.
	End(ctx context.Context, e session.Entry, why event.SessionEnd) error
}

// Whose says which sessions, or logins, a call is about: those that have all of what is set.
type Whose struct {
	UserID      string // as the connector calls the user
	ConnectorID string
	ClientID    string // a client that has taken part
}

func (w Whose) matches(v *session.Session) bool {
	_, took := v.Clients[w.ClientID]
	return (w.UserID == "" || w.UserID == v.Identity.UserID) && (w.ConnectorID == "" || w.ConnectorID == v.ConnectorID) &&
		(w.ClientID == "" || took)
}

// Sessions returns a page of browsers' sessions, and where the next one begins; empty after the last one. A page may be empty and not
// the last one, as each call looks at a bounded number of sessions.
func (s *Service) Sessions(ctx context.Context, whose Whose, after string, limit int) (page []session.Entry, next string, err error) {
	if err := allow(ctx, SessionsList); err != nil || s.cfg.Sessions == nil {
		return nil, "", err
	}
	if len(after) > store.MaxKey {
		return nil, "", Errorf(Invalid, "the page does not exist")
	}
	limit = store.PageLimit(limit)
	for seen := 0; seen < maxScan; {
		all, err := s.someSessions(ctx, whose, store.Query{After: after, Limit: whose.most(limit)})
		if err != nil {
			return nil, "", refusal(err, "list of sessions")
		}
		for i := range all {
			after = all[i].Key
			if v := &all[i].Value; whose.matches(v) && s.cfg.Sessions.Alive(v) {
				page = append(page, all[i])
			}
			if len(page) == limit {
				return page, after, nil
			}
		}
		if len(all) < whose.most(limit) {
			return page, "", nil
		}
		seen += len(all)
	}
	return page, after, nil
}

// most returns how many sessions are read at a time: as many as a page has, unless most of them may be others.
func (w Whose) most(limit int) int {
	if w == (Whose{}) {
		return limit
	}
	return store.MaxLimit
}

// someSessions returns sessions that may match: by the index of their owners where that is possible.
func (s *Service) someSessions(ctx context.Context, whose Whose, q store.Query) ([]session.Entry, error) {
	if whose.UserID != "" && whose.ConnectorID != "" {
		return s.cfg.Sessions.Of(ctx, whose.UserID, whose.ConnectorID, q)
	}
	return s.cfg.Sessions.Table().List(ctx, q)
}

// Session returns a session.
func (s *Service) Session(ctx context.Context, sessionID string) (session.Entry, error) {
	if err := allow(ctx, SessionsList); err != nil {
		return session.Entry{}, err
	}
	if s.cfg.Sessions == nil {
		return session.Entry{}, refusal(store.ErrNotFound, thingOfSession(sessionID))
	}
	e, err := s.cfg.Sessions.Get(store.Latest(ctx), sessionID)
	return e, refusal(err, thingOfSession(sessionID))
}

func thingOfSession(id string) string { return fmt.Sprintf("session %q", shortened(id)) }

// EndSession ends a session, with the logins that were made in it.
func (s *Service) EndSession(ctx context.Context, sessionID string) error {
	if err := allow(ctx, SessionsEnd); err != nil {
		return err
	}
	err := error(store.ErrNotFound)
	if s.cfg.Sessions != nil && sessionID != "" && len(sessionID) <= store.MaxKey {
		var e session.Entry
		if e, err = s.cfg.Sessions.Table().Get(store.Latest(ctx), sessionID); err == nil {
			err = s.end(ctx, e)
		}
	}
	return refusal(err, thingOfSession(sessionID))
}

// end ends a session, unless it is only a trial. Its logins end first, so that the session is still found if this is cut off. Those of
// other sessions of the user go on, and those that were made without one.
func (s *Service) end(ctx context.Context, e session.Entry) error {
	if isDryRun(ctx) {
		return nil
	}
	v := &e.Value
	err := s.cfg.Families.List(ctx, v.Identity.UserID, v.ConnectorID, func(l refresh.Listed) error {
		if l.SessionID != e.Key {
			return nil
		}
		return s.endLogin(ctx, l)
	})
	if err != nil {
		return err
	}
	if err := s.cfg.SignOut.End(ctx, e, event.SessionRevoked); err != nil {
		return err
	}
	s.changed(ctx, event.Deleted, "session", e.Key)
	return nil
}

// Ended is how much has ended.
type Ended struct {
	Sessions int
	Logins   int // besides those that were made in the sessions
}

// EndSessions ends the sessions of somebody, of a connector or of a client, with the logins that were made in them. With logins it also
// ends the user's other logins, as after a theft. After an error, repeat it: what has ended stays so.
func (s *Service) EndSessions(ctx context.Context, whose Whose, logins bool) (Ended, error) {
	var done Ended
	if err := allow(ctx, SessionsEnd); err != nil {
		return done, err
	}
	if whose == (Whose{}) {
		return done, Errorf(Invalid, "say whose sessions: of a user, of a connector, or of a client")
	}
	if logins && whose.UserID == "" {
		return done, Errorf(Invalid, "say whose logins: of which user")
	}
	return s.endAllOf(ctx, whose, logins)
}

// endAllOf ends the sessions that match, and with logins the user's other logins.
func (s *Service) endAllOf(ctx context.Context, whose Whose, logins bool) (done Ended, err error) {
	if logins && whose.ClientID == "" && !isDryRun(ctx) {
		if err := s.endCodes(ctx, whose); err != nil {
			return done, refusal(err, "sessions")
		}
	}
	err = s.endSessions(ctx, whose, &done)
	if err == nil && logins {
		done.Logins, err = s.endOtherLogins(ctx, whose, func(l refresh.Listed) bool { return s.wouldEnd(ctx, whose, l) })
	}
	return done, refusal(err, "sessions")
}

// endCodes makes worthless what no list has: a user's codes that have not been redeemed yet, and sessions that begin at this moment.
// Without a connector it is the user of that ID of every connector who has signed in before.
func (s *Service) endCodes(ctx context.Context, whose Whose) error {
	if whose.ConnectorID != "" {
		_, err := s.cfg.Identities.EndAll(ctx, whose.UserID, whose.ConnectorID)
		return err
	}
	return s.eachConnector(ctx, func(connectorID string) error {
		known, err := s.cfg.Identities.Get(store.Latest(ctx), whose.UserID, connectorID)
		if err == nil && known.Key != "" {
			_, err = s.cfg.Identities.EndAll(ctx, whose.UserID, connectorID)
		}
		return err
	})
}

// wouldEnd reports whether a login would have ended with its session, if this were not only a trial.
func (s *Service) wouldEnd(ctx context.Context, whose Whose, l refresh.Listed) bool {
	if !isDryRun(ctx) || s.cfg.Sessions == nil || l.SessionID == "" {
		return false
	}
	e, err := s.cfg.Sessions.Table().Get(ctx, l.SessionID)
	return err == nil && whose.matches(&e.Value)
}

// endSessions ends the sessions that match: without a connector, first those of the connectors that there are, as endLogins does.
func (s *Service) endSessions(ctx context.Context, whose Whose, done *Ended) error {
	if s.cfg.Sessions == nil {
		return nil
	}
	if whose.UserID != "" && whose.ConnectorID == "" && !isDryRun(ctx) {
		err := s.eachConnector(ctx, func(connectorID string) error {
			return s.endMatching(ctx, Whose{whose.UserID, connectorID, whose.ClientID}, done)
		})
		if err != nil {
			return err
		}
	}
	return s.endMatching(ctx, whose, done)
}

func (s *Service) endMatching(ctx context.Context, whose Whose, done *Ended) error {
	for q := (store.Query{Limit: store.MaxLimit}); ; {
		all, err := s.someSessions(ctx, whose, q)
		if err != nil {
			return err
		}
		ended, err := s.endAll(ctx, whose, all)
		done.Sessions += ended
		if err != nil || len(all) < store.MaxLimit {
			return err
		}
		q.After = all[len(all)-1].Key
	}
}

// endAll ends those sessions of a page that match.
func (s *Service) endAll(ctx context.Context, whose Whose, page []session.Entry) (int, error) {
	var ended atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(endAtOnce)
	for i := range page {
		if !whose.matches(&page[i].Value) {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := s.end(ctx, page[i])
			if err == nil {
				ended.Add(1)
			}
			return err
		})
	}
	err := group.Wait()
	return int(ended.Load()), err
}
