package grant

import (
	"context"
	"fmt"

	"dex/internal/device"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/token"
)

// deviceGrant gives devices the tokens that their users have let them have (RFC 8628, section 3.4).
type deviceGrant struct {
	beginner
	devices    *device.Codes
	connectors *federation.Registry
	limits     *limit.Set
}

func (g *deviceGrant) verify(ctx context.Context, r *request) (*granted, error) {
	deviceCode := r.form.Get("device_code")
	if deviceCode == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "The parameter device_code is missing.")
	}
	d, err := g.poll(ctx, deviceCode, r.client.ID)
	if err != nil {
		return nil, err
	}
	if err := d.Challenge.Check(r.form.Get("code_verifier")); err != nil {
		return nil, err
	}
	source, err := g.connectors.Open(ctx, d.ConnectorID)
	if err != nil {
		return nil, fmt.Errorf("connector of the device: %w", err)
	}
	return &granted{
		Authorization: d.Authorization,
		source:        source,
		wanted:        token.Wanted{Access: true, ID: true},
		commit: func(ctx context.Context, refreshDue bool) (string, error) {
			if !refreshDue {
				return "", g.devices.Redeem(ctx, d)
			}
			return g.begin(ctx, &d.Authorization, deviceCode, func(ctx context.Context) (first, error) {
				return g.again(ctx, d.GrantID, deviceCode)
			})
		},
	}, nil
}

// poll answers a device's question within the limits. Those that bring tokens don't count.
func (g *deviceGrant) poll(ctx context.Context, deviceCode, clientID string) (*device.Approved, error) {
	try, tooOften, err := g.limits.Poll(ctx, deviceCode)
	switch {
	case err != nil:
		return nil, limit.Refusal(err)
	case tooOften:
		return nil, device.SlowDown()
	}
	defer try.End()
	d, err := g.devices.Poll(ctx, deviceCode, clientID)
	if err != nil {
		try.Failed()
	}
	return d, err
}

// again returns the refresh token that a device code gave, and how it was given last, if the answer got lost.
func (g *deviceGrant) again(ctx context.Context, familyID, deviceCode string) (first, error) {
	refresh, begun, err := g.families.First(ctx, familyID, deviceCode)
	if err != nil {
		return first{}, err
	}
	if err := g.devices.Owed(ctx, begun); err != nil {
		return first{}, err
	}
	return first{token: refresh, begun: begun}, nil
}

// anonymousDeviceGrant answers devices whose requests name no client, as upstream does: a device code says which client it
// belongs to. But the client must have shown its secret to get the code, or anybody could have begun in its name.
type anonymousDeviceGrant struct{ *deviceGrant }

func (g anonymousDeviceGrant) clientID(ctx context.Context, f oauth.Form) (string, error) {
	id, err := g.devices.AuthenticatedClient(ctx, f.Get("device_code"))
	if err != nil || f.Has("client_id") && f.Get("client_id") != id {
		return "", err
	}
	return id, nil
}
