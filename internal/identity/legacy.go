package identity

import (
	"encoding/json"
	"time"

	"dex/internal/connector"
	"dex/internal/store"
)

// A Legacy is what upstream keeps of a user that has signed in while its sessions are on.
type Legacy struct {
	UserID, ConnectorID string
	Claims              connector.Identity // as of the last login
	Consents            map[string][]string
	CreatedAt           time.Time
	LastLogin           time.Time
	BlockedUntil        time.Time
	Factors             UpstreamFactors
}

// UpstreamFactors are the second factors that upstream has enrolled, by authenticator, as it writes them. They are secret. Package factor
// makes its own records of them when a user needs them first.
type UpstreamFactors struct {
	MFASecrets          json.RawMessage `json:"mfaSecrets,omitempty"`
	WebAuthnCredentials json.RawMessage `json:"webauthnCredentials,omitempty"`
}

// IsZero reports whether the user has none.
func (f UpstreamFactors) IsZero() bool {
	return len(f.MFASecrets) == 0 && len(f.WebAuthnCredentials) == 0
}

// Adopted returns the record that what upstream keeps of a user becomes. Upstream doesn't say when a user has agreed to something: it
// was at the last login at the latest.
func Adopted(s store.Store, l Legacy) ([]store.Record, error) {
	v := Identity{
		UserID: l.UserID, ConnectorID: l.ConnectorID, Claims: l.Claims, Created: l.CreatedAt, LastLogin: l.LastLogin,
		BlockedUntil: l.BlockedUntil, UpstreamFactors: l.Factors,
	}
	for clientID, scopes := range l.Consents {
		if v.Consents == nil {
			v.Consents = make(map[string]Consent, len(l.Consents))
		}
		v.Consents[clientID] = Consent{Scopes: scopes, Given: l.LastLogin}
	}
	r, err := store.In(s, Kind).Record(Key(l.UserID, l.ConnectorID), v)
	return []store.Record{r}, err
}
