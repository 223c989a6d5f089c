package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
	"dex/internal/token"
)

// Inspected is a refresh token of ours.
type Inspected struct {
	FamilyID string
	token.Authorization
	Created time.Time
	End     time.Time // when it ends if it isn't used before; zero for never
	// Alive says that it can be used. Otherwise it was given out to the same login earlier.
	Alive bool
}

// Inspect says what a refresh token is, without using it. The error is token.ErrRefused if we didn't give it out or its login
// has ended.
func (s *Families) Inspect(ctx context.Context, text string) (Inspected, error) {
	t, ok := Read(text)
	if !ok {
		return Inspected{}, fmt.Errorf("%w: not a refresh token", token.ErrRefused)
	}
	e, u, err := s.read(ctx, t.FamilyID, t.secret, s.now())
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrForged):
		return Inspected{}, fmt.Errorf("%w: %w", token.ErrRefused, err)
	case e.Key == "":
		return Inspected{}, fmt.Errorf("read refresh token: %w", err)
	}
	f := &e.Value
	return Inspected{
		FamilyID: t.FamilyID, Authorization: f.Authorization, Created: f.Created, End: s.end(f), Alive: err == nil && u != useLate,
	}, nil
}
