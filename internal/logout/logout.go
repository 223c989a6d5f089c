// Package logout ends the sessions of browsers, tells the applications that took part, and leads on to the source's own logout
// (OpenID Connect RP-Initiated Logout, Front-Channel Logout and Back-Channel Logout).
package logout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/logout/backchannel"
	"dex/internal/page"
	"dex/internal/refresh"
	"dex/internal/seal"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
	"dex/internal/ui"
)

// Config is what an Endpoint is made of.
type Config struct {
	Issuer     string // as configured
	IssuerURL  *url.URL
	Store      store.Store
	Sessions   *session.Sessions
	Families   *refresh.Families
	Clients    *client.Registry
	Connectors *federation.Registry
	Queue      *backchannel.Queue
	Hints      Hints
	Ring       *seal.Ring
	Pages      *ui.UI
	Log        *slog.Logger
	Events     event.Sink

	// FrameAllowed reports whether a client's address may be loaded by people's browsers in a frame; nil for all.
	FrameAllowed func(ctx context.Context, c *client.Client, address string) bool
	// RefuseUnregistered refuses a logout that is to lead to an address that isn't registered, as upstream does, instead of
	// leading nowhere.
	RefuseUnregistered bool
}

// Hints reads tokens that applications show as a hint of whose session is to end.
type Hints interface {
	ReadHint(token string) (token.Claims, error)
}

// Logout ends sessions, and serves the pages of that.
type Logout struct {
	cfg      Config
	page     *page.Frame
	journeys *store.Table[journey]
}

// New returns a Logout.
func New(cfg Config) *Logout {
	pages := page.New(cfg.IssuerURL, cfg.Pages, cfg.Events).ForLogouts()
	return &Logout{cfg: cfg, page: pages, journeys: store.In(cfg.Store, journeyKind)}
}

// End ends a session, and all that lives only as long as it. Applications are told first: what is queued is delivered even if this
// process ends now, and a session that is ended once more is told of once.
func (l *Logout) End(ctx context.Context, e session.Entry, why event.SessionEnd) error {
	ctx = context.WithoutCancel(ctx) // a browser that hangs up must not leave half a logout
	for {
		if err := l.announce(ctx, e); err != nil {
			return err
		}
		if err := l.endTokens(ctx, e); err != nil {
			return err
		}
		err := l.cfg.Sessions.Delete(ctx, e)
		if err == nil {
			l.tell(ctx, e, why)
			return nil
		}
		if errors.Is(err, store.ErrConflict) { // it is used just now, perhaps for an application that has yet to be told
			e, err = l.cfg.Sessions.Table().Get(store.Latest(ctx), e.Key)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil // somebody else was faster, and has said so
		}
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
	}
}

func (l *Logout) tell(ctx context.Context, e session.Entry, why event.SessionEnd) {
	l.cfg.Events.Emit(ctx, event.SessionEnded{
		SessionID: e.Key, ConnectorID: e.Value.ConnectorID, UserID: e.Value.Identity.UserID, Why: why,
	})
}

// announce queues the logout tokens for the clients that have taken part.
func (l *Logout) announce(ctx context.Context, e session.Entry) error {
	told := backchannel.Ended{SessionID: e.Key, Subject: e.Value.Subject()}
	for _, clientID := range slices.Sorted(maps.Keys(e.Value.Clients)) {
		c, err := l.cfg.Clients.Get(ctx, clientID)
		if errors.Is(err, client.ErrUnknown) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a client of a session: %w", err)
		}
		if c.BackchannelLogoutURI != "" {
			told.ClientIDs = append(told.ClientIDs, clientID)
		}
	}
	if len(told.ClientIDs) == 0 {
		return nil
	}
	return l.cfg.Queue.Add(ctx, told)
}

// endTokens ends the refresh tokens that live only as long as the session.
func (l *Logout) endTokens(ctx context.Context, e session.Entry) error {
	var bound []string
	s := &e.Value
	err := l.cfg.Families.List(ctx, s.Identity.UserID, s.ConnectorID, func(login refresh.Listed) error {
		if login.SessionID != e.Key {
			return nil
		}
		c, err := l.cfg.Clients.Get(ctx, login.ClientID)
		if err == nil && c.SessionBound() {
			bound = append(bound, login.FamilyID)
		}
		if errors.Is(err, client.ErrUnknown) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("find the refresh tokens of a session: %w", err)
	}
	for _, familyID := range bound {
		if err := l.cfg.Families.End(ctx, familyID); err != nil {
			return fmt.Errorf("end a refresh token of a session: %w", err)
		}
	}
	return nil
}

// EndUser ends all sessions of a user.
func (l *Logout) EndUser(ctx context.Context, userID, connectorID string, why event.SessionEnd) error {
	for {
		page, err := l.cfg.Sessions.Of(ctx, userID, connectorID, store.Query{})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := l.End(ctx, e, why); err != nil {
				return err
			}
		}
		if len(page) < store.MaxLimit {
			return nil
		}
	}
}

// Expired tells applications that a session has ended unused, or has become too old.
func (l *Logout) Expired(ctx context.Context, e session.Entry) error {
	if err := l.announce(ctx, e); err != nil {
		return err
	}
	if err := l.endTokens(ctx, e); err != nil {
		return err
	}
	l.tell(ctx, e, event.SessionExpired)
	return nil
}
