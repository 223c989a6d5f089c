package session

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/store"
	"dex/internal/telemetry"
)

// A Browser is the sessions of the browser that a request comes from. It is used by one request.
type Browser struct {
	s        *Sessions
	r        *http.Request
	address  string // where the request comes from
	agent    string // the browser's name
	held     []held
	accounts []Entry // live ones, in the order of the cookie
	changed  bool
	forgets  bool // all of them, with the next change: nobody knows which are the user's
}

// Browser returns the sessions of the browser that a request comes from. Of several good cookies, which only a neighbour in the domain
// can have brought about, none counts. An error is that of the storage.
func (s *Sessions) Browser(r *http.Request) (*Browser, error) { return s.browser(r, false) }

// Leaving is Browser for somebody who signs out: the accounts of all cookies are there. Afterwards the browser has none of them.
func (s *Sessions) Leaving(r *http.Request) (*Browser, error) { return s.browser(r, true) }

func (s *Sessions) browser(r *http.Request, leaving bool) (*Browser, error) {
	ctx := r.Context()
	lists, err := s.cookie.read(ctx, r, s.cfg.MaxAccounts)
	if err != nil {
		return nil, err
	}
	var inCookie []held
	if len(lists) == 1 || leaving {
		inCookie = slices.Concat(lists...)
	}
	agent := r.UserAgent()
	b := &Browser{s: s, r: r, address: telemetry.ClientAddress(ctx), agent: agent[:min(len(agent), maxUserAgent)]}
	b.forgets = leaving && len(lists) > 1
	if len(lists) == 0 {
		inCookie = s.old.read(r, s.cfg.Now())
		b.changed = len(inCookie) > 0 // ours takes its place, or none
	}
	for _, h := range inCookie {
		if err := b.add(ctx, h); err != nil {
			return nil, err
		}
	}
	if s.cfg.State && len(b.held) > 0 && !s.cookie.shows(r, b.State()) {
		b.changed = true // or applications would hear that the session has changed, again and again
	}
	return b, nil
}

// add adds an account of the cookie, if its session lives and the cookie proves it.
func (b *Browser) add(ctx context.Context, h held) error {
	if _, known := b.Account(h.ID); known {
		return nil
	}
	e, err := b.s.Get(ctx, h.ID)
	if err == nil && !b.s.provedBy(&e.Value, h.Secret) {
		e, err = b.s.Get(store.Latest(ctx), h.ID) // another replica may just have renewed the secret
	}
	if isGone(err) {
		b.changed = true // the browser need not carry it any longer; said with the next answer that sets the cookie
		return nil
	}
	if err != nil {
		return err
	}
	if (!h.upstream || e.Value.Upstream) && b.s.provedBy(&e.Value, h.Secret) {
		b.held = append(b.held, h)
		b.accounts = append(b.accounts, e)
	}
	return nil
}

// Accounts returns the accounts that are signed in, the one in use first.
func (b *Browser) Accounts() []Entry { return b.accounts }

// Factors returns the second factors of a session that the browser's cookie proves: none if it is from before the last one was passed.
func (b *Browser) Factors(sessionID string) map[string]time.Time {
	i := slices.IndexFunc(b.accounts, func(e Entry) bool { return e.Key == sessionID })
	if i < 0 {
		return nil
	}
	v := &b.accounts[i].Value
	if known, good := b.s.find(v, b.held[i].Secret); !good || known.Bare {
		return nil
	}
	return v.Factors
}

// Account returns the account of a session; false if it isn't this browser's.
func (b *Browser) Account(sessionID string) (Entry, bool) {
	i := slices.IndexFunc(b.accounts, func(e Entry) bool { return e.Key == sessionID })
	if i < 0 {
		return Entry{}, false
	}
	return b.accounts[i], true
}

// A SignIn is somebody who has just proved who they are.
type SignIn struct {
	ID          string // of the session, if it is a new one
	ClientID    string // for which they did; empty for a page of this server
	ConnectorID string
	Identity    connector.Identity
	AuthTime    time.Time
	Epoch       int64 // of the user
	Methods     []string
	// FirstMethods are the methods without those of the second factors.
	FirstMethods []string
	Factors      map[string]time.Time // that they have passed
	Remember     bool
	Source       connector.SourceSession
	Groups       bool
	Offline      bool
	// Again says that the same login has signed in before. It begins nothing new: its session may have ended since.
	Again bool
}

// SignIn begins the session of a user, or goes on with the one that they have in this browser, with a secret of its own. It returns the
// session, and those that had to make room for it, which the caller must end. The error is store.ErrNotFound if the session of a login
// that signs in again has ended.
func (b *Browser) SignIn(ctx context.Context, in SignIn) (e Entry, crowded []Entry, err error) {
	secret := ""
	e, secret, err = b.renew(ctx, in)
	switch {
	case isGone(err) && in.Again:
		e, secret, err = b.repeat(ctx, in)
	case isGone(err):
		e, secret, err = b.begin(ctx, in)
	}
	if err != nil {
		return Entry{}, nil, err
	}
	if err := b.s.noteSource(ctx, in.ConnectorID, &e.Value, e.Key); err != nil {
		return Entry{}, nil, err
	}
	b.drop(e.Key)
	b.held = slices.Insert(b.held, 0, held{ID: e.Key, Secret: secret})
	b.accounts = slices.Insert(b.accounts, 0, e)
	if most := b.s.cfg.MaxAccounts; len(b.accounts) > most {
		crowded = slices.Clone(b.accounts[most:])
		b.held, b.accounts = b.held[:most], b.accounts[:most]
	}
	return e, crowded, nil
}

// renew goes on with the session that the user has in this browser; the error is store.ErrNotFound if there is none.
func (b *Browser) renew(ctx context.Context, in SignIn) (e Entry, secret string, err error) {
	i := slices.IndexFunc(b.accounts, func(e Entry) bool {
		return e.Value.ConnectorID == in.ConnectorID && e.Value.Identity.UserID == in.Identity.UserID
	})
	if i < 0 {
		return Entry{}, "", errNone
	}
	e, err = b.s.table.UpdateEntry(ctx, b.accounts[i], func(v *Session) error {
		secret = b.s.renewSecret(v)
		b.prove(v, in)
		return nil
	})
	return e, secret, err
}

func (b *Browser) begin(ctx context.Context, in SignIn) (e Entry, secret string, err error) {
	v := Session{ConnectorID: in.ConnectorID, Created: b.s.cfg.Now()}
	secret = b.s.renewSecret(&v)
	b.prove(&v, in)
	e, err = b.s.table.Create(ctx, in.ID, v)
	if errors.Is(err, store.ErrExists) { // the same login has begun it a moment ago
		return b.repeat(ctx, in)
	}
	return e, secret, err
}

// repeat goes on with the session that the same login has begun.
func (b *Browser) repeat(ctx context.Context, in SignIn) (e Entry, secret string, err error) {
	e, err = b.s.table.Update(ctx, in.ID, func(v *Session) error {
		secret = b.s.renewSecret(v)
		b.prove(v, in)
		return nil
	})
	return e, secret, err
}

// prove notes that the user has proved who they are.
func (b *Browser) prove(v *Session, in SignIn) {
	groups, known, end := v.Identity.Groups, v.HasGroups(b.s.cfg.Now()), v.Ends
	v.Identity, v.AuthTime, v.Epoch, v.Remembered = in.Identity, in.AuthTime, in.Epoch, in.Remember
	if !includes(v.Factors, in.Factors) {
		v.bareSecrets()
	}
	v.Methods, v.FirstMethods, v.Factors = in.Methods, in.FirstMethods, in.Factors
	switch {
	case in.Groups:
		v.GroupsEnd = time.Time{}
	case known: // an application that doesn't want them must not take them from the others, nor make them last longer
		v.Identity.Groups = groups
		if v.GroupsEnd.IsZero() {
			v.GroupsEnd = end
		}
	}
	v.Groups = known || in.Groups
	v.Identity.GroupsTold = v.Groups
	v.Offline = v.Offline || in.Offline
	v.Own = v.Own || in.ClientID == ""
	v.Identity.Data, v.Identity.Session = nil, connector.SourceSession{}
	if in.Source.ID != "" || in.Source.Subject != "" || len(in.Source.Data) > 0 {
		v.Source = in.Source
	}
	v.Ends = b.s.cfg.Now().Add(b.s.cfg.Lifetime)
	b.use(v, in.ClientID, false)
}

// Use notes that an application uses a session: at once if it is new to it, or else at most once a minute. The client id is empty for a
// page of this server. The account is the browser's first from now on.
func (b *Browser) Use(ctx context.Context, e Entry, clientID string, viaSSO bool) error {
	b.toFront(e.Key)
	known, ok := e.Value.Clients[clientID]
	if (clientID == "" || ok && (viaSSO || !known.ViaSSO)) && !b.s.isStale(&e.Value) {
		return nil
	}
	written, err := b.s.table.UpdateEntry(ctx, e, func(v *Session) error {
		b.use(v, clientID, viaSSO)
		return nil
	})
	if err != nil {
		return err
	}
	b.accounts[0] = written
	return nil
}

// StepUp notes that the user of a session has passed second factors in it. What the browser's cookie proves it with is new, so that nobody
// who has a copy of the old one gets more by that.
func (b *Browser) StepUp(ctx context.Context, e Entry, factors map[string]time.Time, methods []string) error {
	i := slices.IndexFunc(b.accounts, func(known Entry) bool { return known.Key == e.Key })
	if i < 0 {
		return errNone
	}
	secret := ""
	written, err := b.s.table.UpdateEntry(ctx, b.accounts[i], func(v *Session) error {
		secret = b.s.renewSecret(v)
		if !includes(v.Factors, factors) {
			v.bareSecrets()
		}
		passed := make(map[string]time.Time, len(v.Factors)+len(factors))
		maps.Copy(passed, v.Factors)
		maps.Copy(passed, factors)
		v.Factors, v.Methods = passed, connector.Unique(slices.Concat(v.Methods, methods))
		return nil
	})
	if err != nil {
		return err
	}
	b.held[i], b.accounts[i] = held{ID: e.Key, Secret: secret}, written
	b.changed = true
	return nil
}

// Renew lets a session go on in a new epoch of its user. It has another secret and no others, so that copies of the browser's cookie
// are worthless.
func (b *Browser) Renew(ctx context.Context, e Entry, epoch int64) error {
	i := slices.IndexFunc(b.accounts, func(known Entry) bool { return known.Key == e.Key })
	if i < 0 {
		return errNone
	}
	secret := ""
	written, err := b.s.table.UpdateEntry(ctx, b.accounts[i], func(v *Session) error {
		secret = b.s.renewSecret(v)
		v.Secrets, v.Epoch = v.Secrets[len(v.Secrets)-1:], epoch
		return nil
	})
	if err != nil {
		return err
	}
	b.held[i], b.accounts[i] = held{ID: e.Key, Secret: secret}, written
	b.changed = true
	return nil
}

// bareSecrets notes that all secrets but the newest are from before a factor was passed.
func (v *Session) bareSecrets() {
	for i := range len(v.Secrets) - 1 {
		v.Secrets[i].Bare = true
	}
}

// includes reports whether all factors of one map are in the other, and were passed there no earlier.
func includes(all, some map[string]time.Time) bool {
	for id, at := range some {
		if known, ok := all[id]; !ok || known.Before(at) {
			return false
		}
	}
	return true
}

// use notes that an application uses a session. The map is replaced, as others read it.
func (b *Browser) use(v *Session, clientID string, viaSSO bool) {
	b.s.touch(v)
	v.Address, v.UserAgent = b.address, b.agent
	if clientID == "" {
		return
	}
	clients := make(map[string]Participation, len(v.Clients)+1)
	for name, p := range v.Clients {
		clients[name] = p
	}
	p, known := clients[clientID]
	if !known {
		p.First = v.LastUsed
	}
	p.Last = v.LastUsed
	p.ViaSSO = viaSSO && (!known || p.ViaSSO)
	clients[clientID] = p
	if len(clients) > maxClients {
		delete(clients, oldest(clients, clientID))
	}
	v.Clients = clients
}

// oldest returns the application that was used longest ago, other than one.
func oldest(clients map[string]Participation, but string) string {
	found := ""
	for name, p := range clients {
		if name != but && (found == "" || p.Last.Before(clients[found].Last)) {
			found = name
		}
	}
	return found
}

// Forget takes a session from the browser.
func (b *Browser) Forget(sessionID string) {
	b.drop(sessionID)
	b.changed = true
}

func (b *Browser) drop(sessionID string) {
	b.held = slices.DeleteFunc(b.held, func(h held) bool { return h.ID == sessionID })
	b.accounts = slices.DeleteFunc(b.accounts, func(e Entry) bool { return e.Key == sessionID })
	b.changed = true
}

func (b *Browser) toFront(sessionID string) {
	i := slices.IndexFunc(b.held, func(h held) bool { return h.ID == sessionID })
	if i <= 0 {
		return
	}
	h, e := b.held[i], b.accounts[i]
	b.held = slices.Insert(slices.Delete(b.held, i, i+1), 0, h)
	b.accounts = slices.Insert(slices.Delete(b.accounts, i, i+1), 0, e)
	b.changed = true
}

// Keep gives the browser its sessions, if they have changed. They outlive its window if all of them may.
func (b *Browser) Keep(w http.ResponseWriter) error {
	if !b.changed {
		return nil
	}
	if b.forgets {
		b.held, b.accounts = nil, nil
	}
	var lifetime time.Duration
	for _, e := range b.accounts {
		if !e.Value.Remembered {
			lifetime = 0
			break
		}
		lifetime = max(lifetime, e.Value.Ends.Sub(b.s.cfg.Now()))
	}
	if b.s.cfg.State {
		b.s.cookie.writeState(w, b.State(), lifetime)
	}
	b.s.old.remove(w, b.r, &b.s.cookie)
	return b.s.cookie.write(w, b.held, lifetime)
}

// State changes with the accounts that are signed in. It says nothing else about them.
func (b *Browser) State() string {
	ids := make([]string, 0, len(b.held))
	for _, h := range b.held {
		ids = append(ids, h.ID)
	}
	slices.Sort(ids)
	return id.Lower(id.Hash("state\x00" + strings.Join(ids, "\x00")))
}
