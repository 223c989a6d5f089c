package token

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/connector"
	"dex/internal/store"
)

// A Legacy is a refresh token that upstream issued.
type Legacy struct {
	ID                           string
	Token, ObsoleteToken         string // the current secret, and the one before it
	CreatedAt, LastUsed          time.Time
	ClientID, ConnectorID, Nonce string
	Scopes                       []string
	Identity                     connector.Identity // Data is not used; see OfflineSessions.Adopt
}

// upstreams is what a family keeps of the refresh token that it began as.
type upstreams struct {
	Token    []byte `json:"token"`              // hash
	Obsolete []byte `json:"obsolete,omitempty"` // hash
}

// Adopt stores a refresh token of upstream's, unless it is there already. It becomes generation 0 of a family, and goes
// on as all others do.
func (s *Families) Adopt(ctx context.Context, l Legacy) error {
	f := family{
		Authorization: Authorization{
			ClientID: l.ClientID, ConnectorID: l.ConnectorID, Identity: l.Identity, Scopes: l.Scopes, Nonce: l.Nonce,
		},
		Key:      randomBytes(secretLen),
		Secret:   hashSecret(l.Token),
		Created:  l.CreatedAt,
		LastUsed: l.LastUsed,
		Upstream: &upstreams{Token: hashSecret(l.Token)},
	}
	if l.ObsoleteToken != "" {
		f.Upstream.Obsolete = hashSecret(l.ObsoleteToken)
	}
	f.Identity.Data = nil
	s.setExpiry(&f)
	if s.expired(&f, s.now()) {
		return nil
	}
	_, err := s.table.Create(ctx, l.ID, f)
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("adopt refresh token: %w", err)
	}
	return nil
}

// Adopt stores what upstream kept for a connector, unless there is something already.
func (o *OfflineSessions) Adopt(ctx context.Context, userID, connectorID string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	_, err := o.table.Create(ctx, subjectKey(userID, connectorID), o.record(userID, connectorID, data))
	if err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("adopt connector data: %w", err)
	}
	return nil
}

// beforeUpstreams is a generation that is older than the token before the current one in every family.
const beforeUpstreams = ^uint64(0) - 1

// legacyGeneration returns the generation of a secret of upstream's.
func (f *family) legacyGeneration(secret string) (uint64, bool) {
	switch {
	case f.Upstream == nil:
		return 0, false
	case isHashOf(f.Upstream.Token, secret):
		return 0, true
	case isHashOf(f.Upstream.Obsolete, secret):
		return beforeUpstreams, true
	}
	return 0, false
}
