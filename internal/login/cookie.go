package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/id"
	"dex/internal/page"
	"dex/internal/seal"
)

// Each login under way has a cookie of its own, so that tabs don't disturb each other; a long one is split over a few.
const (
	cookieName = "dex_login_"
	// cookieSize keeps name, value and attributes below the 4096 bytes that browsers take.
	cookieSize = 3600
	maxParts   = 4
	// maxLogins and maxBytes bound what one browser is made to carry; the oldest logins go first. Its Cookie header
	// stays below the 8 KiB that proxies take by default, with all else that we have browsers keep, unless a single login is longer
	// than that itself.
	maxLogins = 10
	maxBytes  = 6 << 10
	// maxData is the room that is left for what a connector wants to be kept, in bytes, while none is chosen yet.
	maxData = 1 << 10
)

const (
	// lastName is the cookie with the last login that has ended, for as long as somebody may want to go back to it.
	lastName   = "dex_last"
	memoryTime = time.Hour
	maxMemory  = 1500 // bytes, so that all cookies fit into proxies' 8 KiB
	// afterlife is how much longer browsers keep a login that has expired, so that it can be begun anew, unless a secret is in it.
	afterlife = time.Hour
)

// errTooLong says that a login does not fit into the cookies.
var errTooLong = errors.New("authorization request is too long")

// errNoLogin says that the browser has no such login under way: it expired, or was begun in another browser.
var errNoLogin = errors.New("no such login under way in this browser")

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID names a login by the time at which it began, by which the oldest are found, and by 256 random bits, as it is the state
// that a source brings back. It is a letter, as it also serves as an XML id, and 58 characters of base32, which fits into the
// 80 bytes of a RelayState (SAML bindings, 3.4.3).
func newID() string {
	var b [4 + id.SecretLen]byte
	binary.BigEndian.PutUint32(b[:4], uint32(time.Now().Unix())) //nolint:gosec // good until 2106
	_, _ = rand.Read(b[4:])                                      // never fails
	return "r" + idEncoding.EncodeToString(b[:])
}

var idForm = regexp.MustCompile(`^r[a-z2-7]{58}$`)

// begun returns when a login began; the zero time for a name that newID didn't make.
func begun(id string) time.Time {
	if !idForm.MatchString(id) {
		return time.Time{}
	}
	b, err := idEncoding.DecodeString(id[1:])
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint32(b[:4])), 0)
}

// A keeper keeps the logins that are under way.
type keeper interface {
	// keep keeps a login under its id, in place of what it has there. The error is errTooLong if it does not fit.
	keep(w http.ResponseWriter, r *http.Request, l *login) error
	// fits returns errTooLong for a login that would not fit with what a connector may add to it.
	fits(l *login) error
	// load returns the login of an id; errNoLogin if there is none. One that has expired comes with errNoLogin, if it is known.
	load(ctx context.Context, r *http.Request, id string) (*login, error)
	// forget removes a login.
	forget(w http.ResponseWriter, r *http.Request, id string)
	// remember keeps what the last login was for that has ended, if it takes no more than the bytes of room.
	remember(w http.ResponseWriter, l *login, room int) error
	// last returns the last login that has ended, if it has the id; else nil.
	last(ctx context.Context, r *http.Request, id string) *login
}

func newKeeper(cfg Config) keeper {
	if cfg.AnyBrowser {
		return newStoredLogins(cfg)
	}
	base := cmp.Or(page.Base(cfg.IssuerURL), "/")
	k := &cookies{ring: cfg.Ring, path: base, secure: cfg.IssuerURL.Scheme == "https"}
	switch {
	case k.secure && base == "/":
		k.prefix = "__Host-"
	case k.secure:
		k.prefix = "__Secure-"
	}
	return k
}

// cookies puts logins into cookies, sealed, and takes them out again: nothing is stored, and no other browser can go on
// with a login.
type cookies struct {
	ring   *seal.Ring
	path   string // of the issuer
	secure bool   // the issuer is https
	// prefix makes browsers hold the cookies to their origin, so that a neighbour in the same domain can't put a login of
	// theirs into somebody's browser (RFC 6265bis, section 4.1.3). Without https there is none. Under a path it is the weaker
	// one, which only keeps out neighbours without https.
	prefix string
}

// keep seals a login into the browser's cookies.
func (k *cookies) keep(w http.ResponseWriter, r *http.Request, l *login) error {
	plain, err := pack(l)
	if err != nil {
		return err
	}
	parts := split(k.ring.Seal(purpose(k.prefix, l.ID), plain))
	if len(parts) > maxParts {
		return errTooLong
	}
	lives := time.Until(l.Expires)
	if l.Secret == "" {
		lives += afterlife
	}
	size := 0
	for i, part := range parts {
		name := partName(k.prefix, l.ID, i)
		k.set(w, name, part, int(lives/time.Second))
		size += carried(name, part)
	}
	for i := len(parts); i < maxParts; i++ { // what is left of a longer one would spoil it
		k.remove(w, r, partName(k.prefix, l.ID, i))
	}
	k.evict(w, r, l.ID, size)
	return nil
}

// fits returns errTooLong for a login that would not fit.
func (k *cookies) fits(l *login) error {
	plain, err := pack(l)
	if err != nil {
		return err
	}
	if len(k.ring.Seal("", plain))+maxData > maxParts*cookieSize {
		return errTooLong
	}
	return nil
}

// load returns the login of an id that the browser holds.
func (k *cookies) load(ctx context.Context, r *http.Request, id string) (*login, error) {
	if !idForm.MatchString(id) {
		return nil, errNoLogin
	}
	prefix := k.prefix
	if _, err := r.Cookie(partName(prefix, id, 0)); err != nil {
		// A cookie of an earlier release is still taken. Where there is a prefix, nothing is sealed for this name any more, so
		// nobody gets a new cookie to put into somebody else's browser.
		prefix = ""
	}
	var sealed strings.Builder
	for i := range maxParts {
		c, err := r.Cookie(partName(prefix, id, i))
		if err != nil {
			break
		}
		sealed.WriteString(c.Value)
	}
	plain, err := k.ring.Open(ctx, purpose(prefix, id), sealed.String())
	if errors.Is(err, seal.ErrInvalid) {
		return nil, errNoLogin
	}
	if err != nil {
		return nil, err
	}
	l, err := unpack(plain)
	if err != nil {
		return nil, err
	}
	switch {
	case l.ID != id:
		return nil, errNoLogin
	case time.Now().After(l.Expires):
		return l, errNoLogin
	}
	return l, nil
}

// remember keeps in one small cookie what the last login was for that has ended.
func (k *cookies) remember(w http.ResponseWriter, l *login, room int) error {
	ended := login{ID: l.ID, Purpose: l.Purpose, Document: l.Document, Expires: time.Now().Add(memoryTime)}
	plain, err := pack(&ended)
	if err != nil {
		return err
	}
	const attributes = 100 // bytes
	name := k.prefix + lastName
	sealed := k.ring.Seal(name, plain)
	if len(sealed) <= maxMemory && len(name)+len(sealed)+attributes <= room {
		k.set(w, name, sealed, int(memoryTime/time.Second))
	}
	return nil
}

// last returns the last login that has ended.
func (k *cookies) last(ctx context.Context, r *http.Request, id string) *login {
	name := k.prefix + lastName
	c, err := r.Cookie(name)
	if err != nil || !idForm.MatchString(id) {
		return nil
	}
	plain, err := k.ring.Open(ctx, name, c.Value)
	if err != nil {
		return nil
	}
	if l, err := unpack(plain); err == nil && l.ID == id && time.Now().Before(l.Expires) {
		return l
	}
	return nil
}

// forget removes a login from the browser.
func (k *cookies) forget(w http.ResponseWriter, r *http.Request, id string) {
	for i := range maxParts {
		k.remove(w, r, partName(k.prefix, id, i))
		if k.prefix != "" { // of an earlier release
			k.remove(w, r, partName("", id, i))
		}
	}
}

// remove removes a cookie, if the browser has it.
func (k *cookies) remove(w http.ResponseWriter, r *http.Request, name string) {
	if _, err := r.Cookie(name); err == nil {
		k.set(w, name, "", -1)
	}
}

// evict forgets the browser's oldest logins until the one that is being kept, of the given size, fits. It looks at the cookies once,
// as a stranger may send thousands, and removes no more logins than an answer's header has room for: the next one goes on.
func (k *cookies) evict(w http.ResponseWriter, r *http.Request, keeping string, size int) {
	held := map[string][]*http.Cookie{} // by login
	for _, c := range r.Cookies() {
		name, isRequest := strings.CutPrefix(strings.TrimPrefix(c.Name, k.prefix), cookieName)
		if !isRequest {
			continue
		}
		id, _, _ := strings.Cut(name, "_")
		if id == keeping {
			continue // is replaced
		}
		held[id] = append(held[id], c)
		size += carried(c.Name, c.Value)
	}
	ids := make([]string, 0, len(held))
	for id := range held {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return begun(a).Compare(begun(b)) })
	for evicted := 0; evicted < maxLogins && evicted < len(ids); evicted++ {
		if len(ids)+1-evicted <= maxLogins && size <= maxBytes {
			return
		}
		gone := held[ids[evicted]]
		for _, c := range gone[:min(len(gone), 2*maxParts)] { // with those of an earlier release
			k.set(w, c.Name, "", -1)
			size -= carried(c.Name, c.Value)
		}
	}
}

// carried returns how many bytes a cookie takes in the header of each request.
func carried(name, value string) int { return len(name) + len("=; ") + len(value) }

func (k *cookies) set(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the issuer is https
		Name: name, Value: value, Path: k.path, MaxAge: maxAge,
		HttpOnly: true, Secure: k.secure, SameSite: http.SameSiteLaxMode,
	})
}

func partName(prefix, id string, part int) string {
	if part == 0 {
		return prefix + cookieName + id
	}
	return prefix + cookieName + id + "_" + strconv.Itoa(part)
}

func split(s string) []string {
	var parts []string
	for len(s) > cookieSize {
		parts = append(parts, s[:cookieSize])
		s = s[cookieSize:]
	}
	return append(parts, s)
}

func purpose(prefix, id string) string { return prefix + "login:" + id }
