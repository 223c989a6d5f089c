package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"dex/internal/answer"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/store"
)

// deviceGrant gives devices the tokens that their users have let them have (RFC 8628, section 3.4).
type deviceGrant struct {
	devices    *Devices
	families   *Families
	offline    *OfflineSessions
	connectors *federation.Registry
	limits     *limit.Set
	log        *slog.Logger
}

func (g *deviceGrant) verify(ctx context.Context, r *request) (*granted, error) {
	deviceCode := r.form.Get("device_code")
	if deviceCode == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter device_code is missing.")
	}
	e, err := g.ask(ctx, deviceCode, r.client.ID)
	if err != nil {
		return nil, err
	}
	d := &e.Value
	if err := d.Challenge.Check(r.form.Get("code_verifier")); err != nil {
		return nil, err
	}
	a := *d.Authorization
	a.GrantID = d.FamilyID
	source, err := g.connectors.Open(ctx, a.ConnectorID)
	if err != nil {
		return nil, fmt.Errorf("connector of the device: %w", err)
	}
	return &granted{
		Authorization: a,
		connector:     source.Definition,
		wanted:        Wanted{Access: true, ID: true},
		commit: func(ctx context.Context) (string, error) {
			if !a.Has(oauth.ScopeOfflineAccess) || !source.Refreshes() {
				return "", g.devices.redeem(ctx, deviceCode, e)
			}
			return g.begin(ctx, &a, deviceCode)
		},
	}, nil
}

// ask answers a device's question within the limits. Those that bring tokens don't count.
func (g *deviceGrant) ask(ctx context.Context, deviceCode, clientID string) (store.Entry[device], error) {
	try, tooOften, err := g.limits.Poll(ctx, deviceCode)
	switch {
	case err != nil:
		return store.Entry[device]{}, limit.Refusal(err)
	case tooOften:
		return store.Entry[device]{}, errSlowDown()
	}
	defer try.End()
	e, err := g.devices.poll(ctx, deviceCode, clientID)
	if err != nil {
		try.Failed()
	}
	return e, err
}

// begin starts the refresh tokens. They can begin only once, which uses up the device code.
func (g *deviceGrant) begin(ctx context.Context, a *Authorization, deviceCode string) (string, error) {
	unused := func(ctx context.Context) error {
		_, possible, err := g.families.begun(ctx, a.GrantID)
		if err != nil || possible {
			return err
		}
		if _, _, err := g.again(ctx, a, deviceCode); err != nil {
			return err
		}
		return errKept
	}
	err := g.offline.keep(ctx, a.Identity.UserID, a.ConnectorID, a.Identity.Data, unused)
	if err != nil && !errors.Is(err, errKept) {
		return "", err
	}
	refresh, err := g.families.begin(ctx, a.GrantID, deviceCode, *a)
	if !errors.Is(err, store.ErrExists) {
		return refresh, err
	}
	for {
		refresh, begun, err := g.again(ctx, a, deviceCode)
		if err != nil {
			return "", err
		}
		err = g.families.repeat(ctx, a.GrantID, begun)
		if err == nil {
			return refresh, nil
		}
		if !errors.Is(err, answer.ErrReplayed) {
			return "", err
		}
	}
}

// again returns the refresh token that a device code gave, and how it was given last, if the answer got lost.
func (g *deviceGrant) again(ctx context.Context, a *Authorization, deviceCode string) (refresh string, begun answer.Use, err error) {
	refresh, begun, err = g.families.first(ctx, a.GrantID, deviceCode)
	if err != nil {
		return "", begun, err
	}
	owed, err := g.devices.answers.Owed(ctx, begun, g.devices.now())
	switch {
	case err != nil:
		return "", begun, fmt.Errorf("device code was used, look for the answer: %w", err)
	case !owed:
		return "", begun, errDeviceCodeUsed()
	}
	return refresh, begun, nil
}

// anonymousDeviceGrant answers devices that don't show who they are, as upstream does: a device code says whose it is. But
// the client must have shown its secret for the code, or anybody could have begun in its name.
type anonymousDeviceGrant struct{ *deviceGrant }

func (g anonymousDeviceGrant) clientID(ctx context.Context, f oauth.Form) (string, error) {
	e, err := g.devices.byDeviceCode(ctx, f.Get("device_code"))
	d := &e.Value
	if err != nil || !d.Authenticated || f.Has("client_id") && f.Get("client_id") != d.ClientID {
		return "", err
	}
	return d.ClientID, nil
}
