package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"dex/internal/store"
)

// maxStored bounds a stored login, in bytes; as much as fits into cookies.
const maxStored = maxParts * cookieSize

// storedLogins keeps logins in the storage, as upstream does, for scripts that hold no cookies. Whoever has the address
// of a step can go on with it.
type storedLogins struct {
	table *store.Table[login]
	log   *slog.Logger
}

var loginKind = store.Declare(store.Declaration[login]{
	Name: "request", Quiet: true,
	Expires: func(l *login) time.Time { return l.Expires },
})

func newStoredLogins(cfg Config) *storedLogins {
	return &storedLogins{
		table: store.In(cfg.Store, loginKind),
		log:   cfg.Log,
	}
}

func (s *storedLogins) fits(l *login) error {
	document, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode login request: %w", err)
	}
	if len(document)+maxData > maxStored {
		return errTooLong
	}
	return nil
}

func (s *storedLogins) keep(_ http.ResponseWriter, r *http.Request, l *login) error {
	document, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode login request: %w", err)
	}
	if len(document) > maxStored {
		return errTooLong
	}
	_, err = s.table.Create(r.Context(), l.ID, *l)
	if errors.Is(err, store.ErrExists) {
		_, err = s.table.Update(r.Context(), l.ID, func(stored *login) error {
			*stored = *l
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("store login request: %w", err)
	}
	return nil
}

func (s *storedLogins) load(ctx context.Context, _ *http.Request, id string) (*login, error) {
	if !idForm.MatchString(id) {
		return nil, errNoLogin
	}
	e, err := s.table.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoLogin
	}
	if err != nil {
		return nil, err
	}
	return &e.Value, nil
}

// forget removes a login. If one stays behind, it is only good for signing in once more.
func (s *storedLogins) forget(_ http.ResponseWriter, r *http.Request, id string) {
	err := s.table.Delete(r.Context(), id, "")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.WarnContext(r.Context(), "login request could not be removed", "err", err)
	}
}

// remember implements keeper: nothing is kept for a login that has ended.
func (s *storedLogins) remember(http.ResponseWriter, *login, int) error { return nil }

// last implements keeper.
func (s *storedLogins) last(context.Context, *http.Request, string) *login { return nil }
