package refresh

import (
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/store"
	"dex/internal/token"
)

// A Legacy is a refresh token that upstream issued.
type Legacy struct {
	ID                           string
	Token, ObsoleteToken         string // the current secret, and the one before it
	CreatedAt, LastUsed          time.Time
	ClientID, ConnectorID, Nonce string
	SessionID                    string // of the browser's session in which it was issued; empty if there was none
	Scopes                       []string
	Identity                     connector.Identity // Data is not used; see OfflineSessions.Adopted
}

// upstreams is what a family keeps of the refresh token that it began as.
type upstreams struct {
	Token    []byte `json:"token"`              // hash
	Obsolete []byte `json:"obsolete,omitempty"` // hash
}

// Adopted returns the record that upstream's refresh token becomes: generation 0 of a family, which goes on like all others.
// A token that has expired becomes none.
func (s *Families) Adopted(l Legacy) ([]store.Record, error) {
	f := family{
		Authorization: token.Authorization{
			ClientID: l.ClientID, ConnectorID: l.ConnectorID, Identity: l.Identity, Scopes: l.Scopes, Nonce: l.Nonce,
			SessionID: l.SessionID, Factors: []string{token.FactorOfUpstream},
		},
		Key:      id.Random(secretLen),
		Secret:   id.Hash(l.Token),
		Created:  l.CreatedAt,
		LastUsed: l.LastUsed,
		Upstream: &upstreams{Token: id.Hash(l.Token)},
	}
	if l.ObsoleteToken != "" {
		f.Upstream.Obsolete = id.Hash(l.ObsoleteToken)
	}
	f.Identity.Data = nil
	s.setExpiry(&f)
	if s.expired(&f, s.now()) {
		return nil, nil
	}
	r, err := s.table.Record(l.ID, f)
	return []store.Record{r}, err
}

// Adopted returns the record of what upstream kept for a connector; none if it kept nothing.
func (o *OfflineSessions) Adopted(userID, connectorID string, data []byte) ([]store.Record, error) {
	if len(data) == 0 {
		return nil, nil
	}
	r, err := o.table.Record(token.SubjectKey(userID, connectorID), o.record(userID, connectorID, data))
	return []store.Record{r}, err
}

// beforeUpstreams is a generation that is older than the token before the current one in every family.
const beforeUpstreams = ^uint64(0) - 1

// legacyGeneration returns the generation of one of upstream's secrets.
func (f *family) legacyGeneration(secret string) (uint64, bool) {
	switch {
	case f.Upstream == nil:
		return 0, false
	case id.IsHashOf(f.Upstream.Token, secret):
		return 0, true
	case id.IsHashOf(f.Upstream.Obsolete, secret):
		return beforeUpstreams, true
	}
	return 0, false
}
