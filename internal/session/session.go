// Package session is the sessions of browsers: who is signed in, since when, and which applications have taken part. Nothing is
// stored before somebody has proved who they are.
package session

import (
	"context"
	"errors"
	"net/url"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// touchEvery is how often a session that is only used is written.
	touchEvery = time.Minute
	// maxClients bounds the applications that a session remembers; the ones that were used longest ago are forgotten.
	maxClients = 500
	// maxSecrets bounds the secrets that a session has at a time, of as many tabs that sign in at once: all those of a window that a
	// browser opens anew.
	maxSecrets = 50
	// secretGrace is how long the secret before the newest one is good: requests of other tabs are under way with it.
	secretGrace = time.Minute
	// maxUserAgent bounds what is kept of the name of a browser, in bytes.
	maxUserAgent = 256
)

// A Session is one account that is signed in to one browser. Its key is its id, which tokens name (sid) and which gives nobody any
// rights.
type Session struct {
	ConnectorID string `json:"connectorID"`
	// Identity is who it is, without what belongs to one login or to the connector.
	Identity connector.Identity `json:"identity"`
	AuthTime time.Time          `json:"authTime"`          // when the user signed in last in this browser
	Methods  []string           `json:"methods,omitempty"` // how, in the words of RFC 8176

	// Epoch is that of the user when they signed in, see identity.Identity.
	Epoch int64 `json:"epoch,omitempty"`

	// Factors are the second factors that the user has passed in this session, as token.Authorization has them, and when.
	Factors map[string]time.Time `json:"factors,omitempty"`
	// FirstMethods are the methods without those of the second factors, for when these no longer count.
	FirstMethods []string `json:"firstMethods,omitempty"`

	Secrets    []Secret  `json:"secrets"` // newest last
	Created    time.Time `json:"created"`
	LastUsed   time.Time `json:"lastUsed"`
	Ends       time.Time `json:"ends"`                 // at the latest
	Idle       time.Time `json:"idle"`                 // when it ends if it isn't used
	Remembered bool      `json:"remembered,omitempty"` // it outlives the browser's window

	Clients map[string]Participation `json:"clients,omitempty"`
	// Own says that the user has signed in to a page of this server, which is no application.
	Own bool `json:"own,omitempty"`

	Address   string `json:"address,omitempty"` // from where it was used last
	UserAgent string `json:"userAgent,omitempty"`

	// Groups says that the source was asked for the user's groups.
	Groups bool `json:"groups,omitempty"`
	// GroupsEnd is until when groups count that an earlier sign-in has told than the last one; zero if the last one told them.
	GroupsEnd time.Time `json:"groupsEnd,omitzero"`
	// Offline says that the source can be asked about the user later, for a refresh token.
	Offline bool `json:"offline,omitempty"`
	// Source is the user's session at the source.
	Source connector.SourceSession `json:"source,omitzero"`
	// Upstream says that the session was taken over from upstream, whose cookie the browser may have.
	Upstream bool `json:"upstream,omitempty"`
}

// HasGroups reports whether the groups that the source has told still count.
func (s *Session) HasGroups(now time.Time) bool {
	return s.Groups && (s.GroupsEnd.IsZero() || now.Before(s.GroupsEnd))
}

// A Secret is what the browser's cookie proves a session with.
type Secret struct {
	Hash   []byte    `json:"hash"`
	Issued time.Time `json:"issued"`
	// Bare says that the user has passed a factor since. Whoever has a copy of the cookie from before must have nothing of that.
	Bare bool `json:"bare,omitempty"`
}

// A Participation is an application that has used a session.
type Participation struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// ViaSSO says that its users have never signed in for this application, only for another that shares its sessions with it.
	ViaSSO bool `json:"viaSSO,omitempty"`
}

// An Entry is a session with its id.
type Entry = store.Entry[Session]

// NewID returns the id of a new session.
func NewID() string { return id.New() }

// Subject is the sub claim of the session's user.
func (s *Session) Subject() string { return token.Subject(s.Identity.UserID, s.ConnectorID) }

// End is when the session ends if it isn't used before.
func (s *Session) End() time.Time {
	if s.Idle.Before(s.Ends) {
		return s.Idle
	}
	return s.Ends
}

// Kind is the kind of the sessions. What has ended is removed by whoever tells the applications of it.
var Kind = store.Declare(store.Declaration[Session]{
	Name: "session", Durable: true, Quiet: true, OwnSweep: true,
	Owner:   func(s *Session) string { return token.SubjectKey(s.Identity.UserID, s.ConnectorID) },
	Expires: func(s *Session) time.Time { return s.End() },
})

// Config is what Sessions are made of.
type Config struct {
	Store     store.Store
	Ring      *seal.Ring
	IssuerURL *url.URL

	CookieName  string
	Upstream    UpstreamCookie
	CrossSite   bool // pages of other sites may use the sessions in frames
	State       bool // scripts may see when the browser's sessions change (Session Management)
	Idle        time.Duration
	Lifetime    time.Duration
	MaxAccounts int // in one browser
	// Remember is whether sessions outlive the browser's window where nobody has asked the user.
	Remember bool
	Now      func() time.Time
}

// Sessions are the sessions of all browsers. It is safe for concurrent use.
type Sessions struct {
	cfg    Config
	table  *store.Table[Session]
	source *store.Table[atSource]
	cookie cookie
	old    upstreamCookie
}

// New returns the sessions in a storage.
func New(cfg Config) *Sessions {
	return &Sessions{
		cfg: cfg, table: store.In(cfg.Store, Kind), source: store.In(cfg.Store, atSourceKind), cookie: newCookie(cfg),
		old: newUpstreamCookie(cfg),
	}
}

// RememberByDefault reports whether sessions outlive the browser's window where nobody has asked the user.
func (s *Sessions) RememberByDefault() bool { return s.cfg.Remember }

// StateCookie returns the name of the cookie that shows scripts when the browser's sessions change; empty if there is none.
func (s *Sessions) StateCookie() string {
	if !s.cfg.State {
		return ""
	}
	return s.cookie.stateName()
}

// Table returns the records, for whoever lists and ends sessions.
func (s *Sessions) Table() *store.Table[Session] { return s.table }

// Get returns a live session; store.ErrNotFound if there is none of that id.
func (s *Sessions) Get(ctx context.Context, sessionID string) (Entry, error) {
	if sessionID == "" || len(sessionID) > store.MaxKey {
		return Entry{}, store.ErrNotFound
	}
	e, err := s.table.Get(ctx, sessionID)
	if err != nil {
		return Entry{}, err
	}
	if !s.Alive(&e.Value) {
		return Entry{}, store.ErrNotFound
	}
	return e, nil
}

// Alive reports whether a stored session still counts. The limits are today's, so that shorter ones in the configuration hold for
// old sessions too.
func (s *Sessions) Alive(v *Session) bool {
	now := s.cfg.Now()
	return len(v.Secrets) > 0 && now.Before(v.End()) &&
		now.Before(v.Secrets[len(v.Secrets)-1].Issued.Add(s.cfg.Lifetime)) && now.Before(v.LastUsed.Add(s.cfg.Idle+s.touchEvery()))
}

// touchEvery is how often a session that is only used is written: rarely enough for the storage, often enough for the time after
// which it ends unused.
func (s *Sessions) touchEvery() time.Duration { return min(touchEvery, s.cfg.Idle/10) }

// Delete removes a session. The error is store.ErrNotFound if it has ended already, and store.ErrConflict if it has been used since
// it was read.
func (s *Sessions) Delete(ctx context.Context, e Entry) error {
	return s.table.Delete(ctx, e.Key, e.Revision)
}

// Of returns a page of the sessions of one user.
func (s *Sessions) Of(ctx context.Context, userID, connectorID string, q store.Query) ([]Entry, error) {
	q.Owner = token.SubjectKey(userID, connectorID)
	return s.table.List(ctx, q)
}

// Prolong says that a session is in use, without a browser.
func (s *Sessions) Prolong(ctx context.Context, e Entry) error {
	if !s.isStale(&e.Value) {
		return nil
	}
	_, err := s.table.UpdateEntry(ctx, e, func(v *Session) error {
		if !s.isStale(v) {
			return store.ErrUnchanged
		}
		s.touch(v)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // it has just ended
	}
	return err
}

func (s *Sessions) isStale(v *Session) bool {
	return s.cfg.Now().Sub(v.LastUsed) >= s.touchEvery()
}

func (s *Sessions) touch(v *Session) {
	v.LastUsed = s.cfg.Now()
	v.Idle = v.LastUsed.Add(s.cfg.Idle)
}

// provedBy reports whether a secret is the session's.
func (s *Sessions) provedBy(v *Session, secret string) bool {
	_, good := s.find(v, secret)
	return good
}

// find returns what the session knows of a secret, if that is still good.
func (s *Sessions) find(v *Session, secret string) (found Secret, good bool) {
	for _, known := range v.Secrets {
		if id.IsHashOf(known.Hash, secret) && s.isGood(v, &known) {
			found, good = known, true
		}
	}
	return found, good
}

// isGood reports whether a secret of a session still counts.
func (s *Sessions) isGood(v *Session, known *Secret) bool {
	newest := v.Secrets[len(v.Secrets)-1].Issued
	// Tabs that sign in at the same time each have a secret, and nobody knows whose cookie the browser has kept.
	atOnce := !known.Bare && newest.Sub(known.Issued) <= secretGrace
	return atOnce || s.cfg.Now().Sub(newest) <= secretGrace
}

// renewSecret gives a session a new secret.
func (s *Sessions) renewSecret(v *Session) (secret string) {
	secret = id.NewSecret()
	kept := make([]Secret, 0, len(v.Secrets)+1)
	for i := range v.Secrets {
		if s.isGood(v, &v.Secrets[i]) {
			kept = append(kept, v.Secrets[i])
		}
	}
	kept = append(kept, Secret{Hash: id.Hash(secret), Issued: s.cfg.Now()})
	v.Secrets = kept[max(0, len(kept)-maxSecrets):]
	return secret
}
