package account

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"dex/internal/event"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/ui"
)

// mostClients is how many applications of a session the home page shows.
const mostClients = 10

// addSessions adds the browsers that are signed in, this one first, then those that were used last.
func (a *Account) addSessions(v *visit, shown *ui.OwnAccount, apps names) error {
	all, err := a.cfg.Sessions.Of(v.r.Context(), v.userID(), v.connectorID(), store.Query{})
	if err != nil {
		return err
	}
	shown.MoreSessions = len(all) == store.MaxLimit
	all = slices.DeleteFunc(all, func(e session.Entry) bool { return e.Key == v.Key || !a.cfg.Sessions.Alive(&e.Value) })
	slices.SortFunc(all, func(a, b session.Entry) int { return b.Value.LastUsed.Compare(a.Value.LastUsed) })
	all = append([]session.Entry{v.Entry}, all...)
	if len(all) > most {
		shown.MoreSessions, all = true, all[:most]
	}
	for _, e := range all {
		s := &e.Value
		browser, system := browserOf(s.UserAgent)
		one := ui.OwnSession{
			ID: e.Key, Here: e.Key == v.Key, Browser: browser, System: system, Address: s.Address, Since: s.Created, LastUsed: s.LastUsed,
		}
		one.Clients, one.More = clientsOf(s, apps)
		shown.Sessions = append(shown.Sessions, one)
	}
	return nil
}

// clientsOf returns the names of the applications that have used a session, those that used it last first.
func clientsOf(s *session.Session, apps names) (clients []string, more bool) {
	ids := slices.SortedFunc(maps.Keys(s.Clients), func(a, b string) int {
		return cmp.Or(s.Clients[b].Last.Compare(s.Clients[a].Last), cmp.Compare(a, b))
	})
	for _, id := range ids[:min(len(ids), mostClients)] {
		clients = append(clients, apps.of(id))
	}
	return clients, len(ids) > mostClients
}

// endSession ends one of the user's sessions, in another browser as a rule.
func (a *Account) endSession(v *visit) (string, error) {
	ctx := v.r.Context()
	e, err := a.cfg.Sessions.Get(store.Latest(ctx), v.r.PostForm.Get("session"))
	if errors.Is(err, store.ErrNotFound) || err == nil && !v.owns(&e.Value) {
		return doneGone, nil
	}
	if err == nil {
		err = a.endOne(v, e)
	}
	if err != nil {
		return "", notDone(err)
	}
	return doneSession, v.browser.Keep(v.w)
}

// owns reports whether a session is the user's.
func (v *visit) owns(s *session.Session) bool {
	return s.Identity.UserID == v.userID() && s.ConnectorID == v.connectorID()
}

func (a *Account) endOne(v *visit, e session.Entry) error {
	if err := a.cfg.SignOut.End(v.r.Context(), e, event.SessionSignedOut); err != nil {
		return err
	}
	if e.Key == v.Key {
		v.browser.Forget(e.Key)
	}
	return nil
}

// endOthers ends all sessions of the user but this one.
func (a *Account) endOthers(v *visit) (string, error) {
	if err := a.endAllBut(v.r.Context(), v, event.SessionSignedOut); err != nil {
		return "", notDone(err)
	}
	return doneSessions, nil
}

// endAllBut ends all sessions of the user other than that of the visit.
func (a *Account) endAllBut(ctx context.Context, v *visit, why event.SessionEnd) error {
	for q := (store.Query{}); ; {
		found, err := a.cfg.Sessions.Of(store.Latest(ctx), v.userID(), v.connectorID(), q)
		if err != nil {
			return err
		}
		for _, e := range found {
			if e.Key == v.Key {
				continue
			}
			if err := a.cfg.SignOut.End(ctx, e, why); err != nil {
				return err
			}
		}
		if len(found) < store.MaxLimit {
			return nil
		}
		q.After = found[len(found)-1].Key
	}
}
