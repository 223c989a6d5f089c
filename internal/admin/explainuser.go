package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// Bounds of the search for a user.
const (
	maxSearched  = 100_000 // records that one question looks at, besides those that it names
	maxAmbiguous = 5       // users that an error names
)

// A Known is what is known of a user that a question is about.
type Known struct {
	ConnectorID string
	Identity    connector.Identity
	Blocked     bool
	From        string // where it is from, one of the next
}

// Where the facts about a user are from.
const (
	FromLastLogin    = "last login" // which may have been long ago
	FromPasswords    = "password database"
	FromSession      = "session"
	FromRefreshToken = "refresh token" // as of its last use
	FromQuestion     = "question"      // nothing else is known of the user
)

// userOfQuestion returns the user that a question is about.
func (s *Service) userOfQuestion(ctx context.Context, q *LoginQuestion) (Known, error) {
	found, err := s.candidates(ctx, q)
	if err != nil {
		return Known{}, err
	}
	byID := slices.DeleteFunc(slices.Clone(found), func(k Known) bool { return k.Identity.UserID != q.User })
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(byID) == 1: // goes before names, which others may have given themselves
		return byID[0], nil
	case len(found) > 1:
		var names []string
		for _, k := range found[:min(len(found), maxAmbiguous)] {
			names = append(names, fmt.Sprintf("%s at connector %s", shortened(k.Identity.UserID), shortened(k.ConnectorID)))
		}
		return Known{}, Errorf(Invalid, "several users match; say which ID and connector you mean: %s", strings.Join(names, ", "))
	case q.ConnectorID != "" && q.Facts.any():
		return Known{ConnectorID: q.ConnectorID, Identity: connector.Identity{UserID: q.User}, From: FromQuestion}, nil
	}
	if q.ConnectorID != "" {
		return Known{}, Errorf(NotFound, "nothing is known of a user %q at connector %q; describe them, such as by groups or an e-mail address",
			shortened(q.User), shortened(q.ConnectorID))
	}
	return Known{}, Errorf(NotFound, "nothing is known of a user %q; name the connector too, and if the user has not signed in yet, describe them, "+
		"such as by groups or an e-mail address", shortened(q.User))
}

// candidates returns the users that a question may be about. Whoever is named by ID and connector is looked up; others are searched for
// among the users that are known, and if the question names a connector, among those who are only logged in. The password database knows
// more of its users than their last login does.
func (s *Service) candidates(ctx context.Context, q *LoginQuestion) ([]Known, error) {
	userID, connectorID := q.User, q.ConnectorID
	if ofSub, of, err := token.ReadSubject(q.User); err == nil && of != "" && (connectorID == "" || connectorID == of) {
		userID, connectorID = ofSub, of
	}
	if connectorID != "" && connectorID != federation.LocalID {
		exact := &search{q: &LoginQuestion{User: userID, ConnectorID: connectorID}, left: maxSearched}
		if err := s.lookUp(ctx, exact, Whose{UserID: userID, ConnectorID: connectorID}); err != nil || len(exact.found) > 0 {
			return exact.users(), err
		}
	}
	look := &search{q: q, left: maxSearched}
	if err := s.searchUsers(ctx, look); err != nil {
		return nil, err
	}
	if len(look.found) == 0 && q.ConnectorID != "" {
		if err := s.searchLogins(ctx, look, Whose{}); err != nil {
			return nil, err
		}
	}
	return look.users(), nil
}

// A search collects the users that a question may be about.
type search struct {
	q     *LoginQuestion
	left  int // how many records it may still look at
	found map[string]match
}

type match struct {
	Known
	at time.Time // as of when
}

// add adds a user who matches, unless something newer is known of them.
func (l *search) add(k Known, at time.Time) {
	if l.q.ConnectorID != "" && l.q.ConnectorID != k.ConnectorID || !l.q.means(k.ConnectorID, &k.Identity) {
		return
	}
	l.put(k, at)
}

func (l *search) put(k Known, at time.Time) {
	if l.found == nil {
		l.found = map[string]match{}
	}
	key := identity.Key(k.Identity.UserID, k.ConnectorID)
	if known, ok := l.found[key]; !ok || !at.Before(known.at) {
		l.found[key] = match{k, at}
	}
}

// take counts records that were looked at. The error says that the search has to end: what it has found may not be all.
func (l *search) take(records int) error {
	if l.left -= records; l.left < 0 {
		return Errorf(Invalid, "there are too many users to search for a name or an address; give the user's ID and connector, or the sub")
	}
	return nil
}

// users returns those who were found, in an order that doesn't change.
func (l *search) users() []Known {
	found := make([]Known, 0, len(l.found))
	for _, m := range l.found {
		found = append(found, m.Known)
	}
	slices.SortFunc(found, func(a, b Known) int {
		return cmp.Or(strings.Compare(a.ConnectorID, b.ConnectorID), strings.Compare(a.Identity.UserID, b.Identity.UserID))
	})
	return found
}

// eachEntry calls each for the entries of a list, page by page, as far as a search may look.
func eachEntry[T any](look *search, list func(store.Query) ([]store.Entry[T], error), each func(*T)) error {
	for q := (store.Query{Limit: store.MaxLimit}); ; {
		page, err := list(q)
		if err != nil {
			return err
		}
		if err := look.take(len(page)); err != nil {
			return err
		}
		for i := range page {
			each(&page[i].Value)
		}
		if len(page) < store.MaxLimit {
			return nil
		}
		q.After = page[len(page)-1].Key
	}
}

// lookUp finds a user by ID and connector: in the identities, or if they are none, in what is logged in.
func (s *Service) lookUp(ctx context.Context, look *search, whose Whose) error {
	if s.cfg.Sessions != nil {
		e, err := s.cfg.Identities.Get(ctx, whose.UserID, whose.ConnectorID)
		if err != nil {
			return refusal(err, thingOfIdentity(whose.UserID, whose.ConnectorID))
		}
		if e.Key != "" {
			look.addIdentity(&e.Value)
			return nil
		}
	}
	return s.searchLogins(ctx, look, whose)
}

// searchUsers searches the identities and the password database.
func (s *Service) searchUsers(ctx context.Context, look *search) error {
	if s.cfg.Sessions != nil {
		err := eachEntry(look, func(q store.Query) ([]identity.Entry, error) { return s.cfg.Identities.Table().List(ctx, q) }, look.addIdentity)
		if err != nil {
			return refusal(err, "list of identities")
		}
	}
	if of := look.q.ConnectorID; of == "" || of == federation.LocalID {
		return refusal(s.searchPasswords(ctx, look), "list of users")
	}
	return nil
}

func (l *search) addIdentity(v *identity.Identity) {
	id := v.Claims
	id.UserID = v.UserID
	l.add(Known{ConnectorID: v.ConnectorID, Identity: id, From: FromLastLogin}, time.Time{})
}

// searchPasswords searches the password database, which goes before the last login.
func (s *Service) searchPasswords(ctx context.Context, look *search) error {
	if _, err := s.cfg.Connectors.Get(ctx, federation.LocalID); errors.Is(err, store.ErrNotFound) {
		return nil // nobody signs in with a password of ours
	} else if err != nil {
		return err
	}
	for after := ""; ; {
		page, next, err := s.cfg.Users.List(ctx, after, store.MaxLimit)
		if err != nil {
			return err
		}
		if err := look.take(len(page)); err != nil {
			return err
		}
		for i := range page {
			id := page[i].Value.Identity()
			id.GroupsTold = true
			_, matched := look.found[identity.Key(id.UserID, federation.LocalID)]
			if matched || look.q.User == page[i].Value.Username || look.q.means(federation.LocalID, &id) {
				look.put(Known{ConnectorID: federation.LocalID, Identity: id, From: FromPasswords}, time.Time{})
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// searchLogins searches the sessions and the logins that refresh tokens keep alive: of one user, by the index, or of all.
func (s *Service) searchLogins(ctx context.Context, look *search, whose Whose) error {
	if s.cfg.Sessions != nil {
		list := func(q store.Query) ([]session.Entry, error) { return s.someSessions(ctx, whose, q) }
		err := eachEntry(look, list, func(v *session.Session) {
			if !s.cfg.Sessions.Alive(v) {
				return
			}
			id := v.Identity
			id.GroupsTold = v.HasGroups(time.Now())
			look.add(Known{ConnectorID: v.ConnectorID, Identity: id, From: FromSession}, v.AuthTime)
		})
		if err != nil {
			return refusal(err, "list of sessions")
		}
	}
	each := func(l refresh.Listed) error {
		look.add(Known{ConnectorID: l.ConnectorID, Identity: l.Identity, From: FromRefreshToken}, l.LastUsed)
		return look.take(1)
	}
	if whose != (Whose{}) {
		return refusal(s.cfg.Families.List(ctx, whose.UserID, whose.ConnectorID, each), "logins")
	}
	return refusal(s.cfg.Families.All(ctx, each), "logins")
}

// means reports whether a question may be about a user of a connector.
func (q *LoginQuestion) means(connectorID string, id *connector.Identity) bool {
	return q.User == id.UserID || q.User == id.Username || q.User == id.PreferredUsername ||
		id.Email != "" && strings.EqualFold(q.User, id.Email) || q.User == token.Subject(id.UserID, connectorID)
}
