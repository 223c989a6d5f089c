package refresh

import (
	"context"
	"time"

	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/token"
)

// Listed is a login that refresh tokens keep alive.
type Listed struct {
	FamilyID    string
	UserID      string
	ConnectorID string
	ClientID    string
	// SessionID names the browser's session that the login was made in; empty if there was none.
	SessionID string
	Scopes    []string
	Created   time.Time
	LastUsed  time.Time
	End       time.Time // when it ends if it isn't used before; zero for never
	// Identity is the user as the source has described them last.
	Identity connector.Identity
}

// List calls each for every login of a user of a connector, page by page, until it returns an error.
func (s *Families) List(ctx context.Context, userID, connectorID string, each func(Listed) error) error {
	return s.walk(ctx, store.Query{Owner: token.SubjectKey(userID, connectorID)}, each)
}

// All is List for the logins of all users. It reads every one of them.
func (s *Families) All(ctx context.Context, each func(Listed) error) error {
	return s.walk(ctx, store.Query{}, each)
}

func (s *Families) walk(ctx context.Context, q store.Query, each func(Listed) error) error {
	limits := map[string]Limits{} // by client
	for {
		page, err := s.table.List(ctx, q)
		if err != nil {
			return err
		}
		now := s.now()
		for i := range page {
			f := &page[i].Value
			known, ok := limits[f.ClientID]
			if !ok {
				if err := s.limit(ctx, f); err != nil {
					return err
				}
				limits[f.ClientID], known = f.limits, f.limits
			}
			if f.limits = known; f.Ended || s.expired(f, now) {
				continue
			}
			err := each(Listed{
				FamilyID: page[i].Key, UserID: f.Identity.UserID, ConnectorID: f.ConnectorID, ClientID: f.ClientID, SessionID: f.SessionID,
				Scopes: f.Scopes, Created: f.Created, LastUsed: f.LastUsed, End: s.end(f), Identity: f.Identity,
			})
			if err != nil {
				return err
			}
		}
		if len(page) < store.MaxLimit {
			return nil
		}
		q.After = page[len(page)-1].Key
	}
}
