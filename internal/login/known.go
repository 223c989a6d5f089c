package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/page"
	"dex/internal/seal"
	"dex/internal/session"
	"dex/internal/token"
)

// KnownFor is how long a browser is known in which somebody has signed in.
const KnownFor = 180 * 24 * time.Hour

const (
	knownName = "dex_known"
	// maxKnown bounds how many users a browser is known for; those who have signed in longest ago go first.
	maxKnown = 5
)

// A knownUser is an entry of the cookie. Its members have no other than fixed sizes.
type knownUser struct {
	Name  [16]byte // hash of what was proved, and whose
	ID    [12]byte // random
	Hour  uint32   // since 1970, in which it was made
	User  [32]byte // the user's key as an identity
	Epoch int64    // of the user; the browser is known in no other
}

// What a browser has proved of somebody.
const (
	knownByPassword = "password" // the name that was typed
	knownByFactor   = "factor"   // the user
)

// known keeps in a browser whose password or factor was right there. Guesses from such a browser are counted apart from those of
// strangers, who thus can't lock the owner out. It is worth nothing without the password: whoever steals it may guess as often as
// at another address.
type known struct {
	ring   *seal.Ring
	users  *identity.Identities
	name   string
	seals  string
	path   string
	secure bool
}

func newKnown(ring *seal.Ring, issuer *url.URL, users *identity.Identities) *known {
	k := &known{ring: ring, users: users, name: knownName, path: cmp.Or(page.Base(issuer), "/"), secure: issuer.Scheme == "https"}
	switch { // as other cookies, see newKeeper
	case k.secure && k.path == "/":
		k.name = "__Host-" + k.name
	case k.secure:
		k.name = "__Secure-" + k.name
	}
	k.seals = "known browser:" + issuer.String()
	return k
}

// from returns a context for an attempt at a user, which says so if the browser is known to be theirs. It tells nothing of whether
// there is such a user. Only known browsers cost a read.
func (k *known) from(ctx context.Context, r *http.Request, connectorID, proves, user string) (context.Context, error) {
	name := hashKnown(connectorID, proves, user)
	for _, e := range k.read(ctx, r) {
		if e.Name != name {
			continue
		}
		epoch, err := k.users.EpochOf(ctx, id.Lower(e.User[:]), connectorID)
		if err != nil {
			return ctx, page.Errorf(http.StatusInternalServerError, "Your account can't be looked up.").
				Hint("Try again in a moment.").Because(err)
		}
		if epoch == e.Epoch {
			ctx = limit.FromKnownBrowser(ctx, hex.EncodeToString(e.ID[:]))
		}
		break
	}
	return ctx, nil
}

// remember makes the browser known for a user of an epoch, by what they have proved under a name. One that is known already keeps its id,
// so that nobody gets more guesses by signing in.
func (k *known) remember(w http.ResponseWriter, r *http.Request, u *token.Authorization, proves, name string) error {
	fresh := knownUser{Name: hashKnown(u.ConnectorID, proves, name), Hour: hour(time.Now()), Epoch: u.Epoch}
	_, _ = rand.Read(fresh.ID[:]) // never fails
	key, err := id.Unlower(identity.Key(u.Identity.UserID, u.ConnectorID))
	if err != nil {
		return fmt.Errorf("remember the browser of a user: %w", err)
	}
	copy(fresh.User[:], key)
	entries := []knownUser{fresh}
	for _, e := range k.read(r.Context(), r) {
		switch {
		case e.Name == fresh.Name:
			entries[0].ID = e.ID
		case len(entries) < maxKnown:
			entries = append(entries, e)
		}
	}
	return k.write(w, entries)
}

// goOn keeps the browser known for a user in another epoch, if it was known in the one before.
func (k *known) goOn(w http.ResponseWriter, r *http.Request, key string, from, to int64) error {
	entries, changed := k.read(r.Context(), r), false
	for i := range entries {
		if e := &entries[i]; id.Lower(e.User[:]) == key && e.Epoch == from {
			e.Epoch, changed = to, true
		}
	}
	if !changed {
		return nil
	}
	return k.write(w, entries)
}

func (k *known) write(w http.ResponseWriter, entries []knownUser) error {
	plain, err := binary.Append(nil, binary.BigEndian, entries)
	if err != nil {
		return fmt.Errorf("encode the users of a known browser: %w", err)
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: k.name, Value: k.ring.Seal(k.seals, plain), Path: k.path, MaxAge: int(KnownFor / time.Second),
		HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode,
	})
	return nil
}

// read returns the entries of the browser's cookie that are not too old. A forged one has none.
func (k *known) read(ctx context.Context, r *http.Request) []knownUser {
	c, err := r.Cookie(k.name)
	if err != nil {
		return nil
	}
	plain, err := k.ring.Open(ctx, k.seals, c.Value)
	if err != nil { // without it the browser is a stranger's
		return nil
	}
	entries := make([]knownUser, min(len(plain)/binary.Size(knownUser{}), maxKnown))
	if _, err := binary.Decode(plain, binary.BigEndian, entries); err != nil {
		return nil
	}
	oldest := hour(time.Now().Add(-KnownFor))
	return slices.DeleteFunc(entries, func(e knownUser) bool { return e.Hour < oldest })
}

// KeepKnown keeps a browser known for the user of a session who goes on in another epoch, having changed their password.
func (f *Flow) KeepKnown(w http.ResponseWriter, r *http.Request, s *session.Session, epoch int64) {
	if err := f.known.goOn(w, r, identity.Key(s.Identity.UserID, s.ConnectorID), s.Epoch, epoch); err != nil {
		f.log.WarnContext(r.Context(), "a browser is no longer known to its user", "err", err)
	}
}

// makeKnown makes a browser known for a user. If that fails the user gets in all the same.
func (f *Flow) makeKnown(v *visit, proves, name string) {
	if err := f.known.remember(v.w, v.r, v.user, proves, name); err != nil {
		f.log.WarnContext(v.r.Context(), "a browser is not known to its user", "err", err)
	}
}

func hour(t time.Time) uint32 { return uint32(t.Unix() / 3600) } //nolint:gosec // good for ever

// hashKnown names a user of a connector. Names are folded as the limits fold them.
func hashKnown(connectorID, proves, user string) (sum [16]byte) {
	if proves == knownByPassword {
		user = connector.FoldName(user)
	}
	h := sha256.New()
	for _, part := range []string{connectorID, proves, user} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // hashes never fail
		_, _ = h.Write([]byte(part))
	}
	copy(sum[:], h.Sum(nil))
	return sum
}
