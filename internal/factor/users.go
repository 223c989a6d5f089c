package factor

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"dex/internal/identity"
	"dex/internal/store"
)

// readAtOnce is how many records of users are read at once.
const readAtOnce = 8

// Known reports whether anything is stored of a user, which may be no more than that all factors were removed. What upstream has
// enrolled, and nobody has used since, is not.
func (f *Factors) Known(ctx context.Context, u User) (bool, error) {
	_, err := f.table.Get(store.Latest(ctx), u.key())
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Of returns the factors of users, in their order, for lists: those taken over from upstream that can't be read are left out, and logged.
func (f *Factors) Of(ctx context.Context, users []identity.Entry) ([]Record, error) {
	found := make([]Record, len(users))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for i := range users {
		group.Go(func() (err error) {
			found[i], err = f.known(ctx, &users[i].Value)
			return err
		})
	}
	return found, group.Wait()
}

func (f *Factors) known(ctx context.Context, v *identity.Identity) (Record, error) {
	e, err := f.table.Get(store.Latest(ctx), identity.Key(v.UserID, v.ConnectorID))
	if !errors.Is(err, store.ErrNotFound) {
		return e.Value, err
	}
	none := Record{UserID: v.UserID, ConnectorID: v.ConnectorID}
	r := none
	if err := r.adopt(v.UpstreamFactors); err != nil {
		f.log.WarnContext(ctx, "upstream's second factors can't be read", "connector_id", v.ConnectorID, "user_id", v.UserID, "err", err)
		return none, nil
	}
	return r, nil
}

// Forget removes what is stored of a user who is removed altogether. While their identity is there, so is what upstream has enrolled:
// whoever removes both removes the identity first, so that a login in between can't take that over anew.
func (f *Factors) Forget(ctx context.Context, u User) error {
	if err := f.table.Delete(ctx, u.key(), ""); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}
