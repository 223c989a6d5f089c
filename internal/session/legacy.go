package session

import (
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/store"
)

// A Legacy is a session that upstream began.
type Legacy struct {
	ID, Secret                 string
	UserID, ConnectorID        string
	Clients                    map[string]LegacyClient
	CreatedAt, LastActivity    time.Time
	AbsoluteExpiry, IdleExpiry time.Time
	Address, UserAgent         string
	LoggingOut                 bool // the user has asked to sign out, and is on the way back from the source

	// The rest is the user's, who has a record of their own.
	Identity  connector.Identity
	LastLogin time.Time // anywhere
	Groups    bool      // the source was asked for the user's groups
	Offline   bool      // it can be asked about the user later
}

// A LegacyClient is an application in a session of upstream's, with the JSON names that it has in every storage.
type LegacyClient struct {
	AuthenticatedAt, LastActivity, LastTokenIssuedAt time.Time
	ViaSSO                                           bool
}

// HasEnded reports whether nobody is signed in by the session any longer.
func (l *Legacy) HasEnded(now time.Time) bool {
	return l.LoggingOut || !now.Before(l.AbsoluteExpiry) || !now.Before(l.IdleExpiry)
}

// Adopted returns the record that upstream's session becomes. Upstream doesn't say whether the browser keeps its cookie when its window
// is closed; it does unless the user has said otherwise.
func Adopted(s store.Store, l Legacy) ([]store.Record, error) {
	v := Session{
		ConnectorID: l.ConnectorID, Identity: l.Identity, AuthTime: l.authTime(),
		Secrets: []Secret{{Hash: id.Hash(l.Secret), Issued: l.CreatedAt}},
		Created: l.CreatedAt, LastUsed: l.LastActivity, Ends: l.AbsoluteExpiry, Idle: l.IdleExpiry, Remembered: true,
		Clients: l.participations(),
		Address: l.Address, UserAgent: l.UserAgent[:min(len(l.UserAgent), maxUserAgent)],
		Groups: l.Groups, Offline: l.Offline, Upstream: true,
	}
	r, err := store.In(s, Kind).Record(l.ID, v)
	return []store.Record{r}, err
}

// authTime returns when the user signed in last in this browser. Upstream's last login may have been in another one.
func (l *Legacy) authTime() time.Time {
	here := time.Time{}
	for _, c := range l.Clients {
		if !c.ViaSSO && c.AuthenticatedAt.After(here) {
			here = c.AuthenticatedAt
		}
	}
	if here.IsZero() {
		here = l.CreatedAt
	}
	if !l.LastLogin.IsZero() && l.LastLogin.Before(here) {
		return l.LastLogin
	}
	return here
}

func (l *Legacy) participations() map[string]Participation {
	clients := make(map[string]Participation, len(l.Clients))
	for clientID, c := range l.Clients {
		p := Participation{First: c.AuthenticatedAt, Last: c.LastActivity, ViaSSO: c.ViaSSO}
		if c.LastTokenIssuedAt.After(p.Last) {
			p.Last = c.LastTokenIssuedAt
		}
		clients[clientID] = p
	}
	for len(clients) > maxClients {
		delete(clients, oldest(clients, ""))
	}
	return clients
}
