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

// maxStored bounds a stored request, in bytes; as much as fits into cookies.
const maxStored = maxParts * cookieSize

// storedRequests keeps requests in the storage, as upstream does, for scripts that hold no cookies. Whoever has the address
// of a step can go on with it.
type storedRequests struct {
	table *store.Table[request]
	log   *slog.Logger
	now   func() time.Time
}

var requestKind = store.Declare(store.Declaration[request]{
	Name: "request", Quiet: true,
	Expires: func(r *request) time.Time { return r.Expires },
})

func newStoredRequests(cfg Config) *storedRequests {
	return &storedRequests{
		table: store.In(cfg.Store, requestKind),
		log:   cfg.Log,
		now:   cfg.Now,
	}
}

func (s *storedRequests) fits(req *request) error {
	document, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode login request: %w", err)
	}
	if len(document)+maxData > maxStored {
		return errTooLong
	}
	return nil
}

func (s *storedRequests) keep(_ http.ResponseWriter, r *http.Request, req *request) error {
	document, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode login request: %w", err)
	}
	if len(document) > maxStored {
		return errTooLong
	}
	_, err = s.table.Create(r.Context(), req.ID, *req)
	if errors.Is(err, store.ErrExists) {
		_, err = s.table.Update(r.Context(), req.ID, func(stored *request) error {
			*stored = *req
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("store login request: %w", err)
	}
	return nil
}

func (s *storedRequests) load(ctx context.Context, _ *http.Request, id string) (*request, error) {
	if !idForm.MatchString(id) {
		return nil, errNoRequest
	}
	e, err := s.table.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoRequest
	}
	if err != nil {
		return nil, err
	}
	return &e.Value, nil
}

// forget removes a request. One that stays behind can't be used for more than another login by whoever signs in.
func (s *storedRequests) forget(_ http.ResponseWriter, r *http.Request, id string) {
	err := s.table.Delete(r.Context(), id, "")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.WarnContext(r.Context(), "login request could not be removed", "err", err)
	}
}
