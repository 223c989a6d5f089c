package selfservice

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/page"
	"dex/internal/seal"
	"dex/internal/store"
)

// A kind is what a link is for. A link of one kind is none of another.
type kind string

const (
	reset        kind = "reset"
	invitation   kind = "invitation"
	verification kind = "verification"
)

// path returns where links of a kind lead.
func (k kind) path() string {
	switch k {
	case reset:
		return passwordPath
	case invitation:
		return invitationPath
	case verification:
	}
	return verifyPath
}

// A link is what is sealed into one.
type link struct {
	Email   string    `json:"e"` // the key of the user's record
	Print   []byte    `json:"p"` // the user's fingerprint
	Expires time.Time `json:"x"`
	// Browser is the hash of a secret that the browser has from which a reset was asked for.
	Browser []byte `json:"b,omitempty"`
	// Session is that in which a verification was asked for.
	Session string `json:"s,omitempty"`
	// Login is the id of the login that a reset interrupts, and goes on with.
	Login string `json:"l,omitempty"`
	// Mailed says that only the reader of a mail has the link.
	Mailed bool `json:"m,omitempty"`
}

const (
	// verificationLifetime is how long users may take to open the mail.
	verificationLifetime = 30 * time.Minute
	// maxToken bounds what is read as a link's token, in bytes; real ones have some 500.
	maxToken = 4 << 10

	fieldToken = "token"
)

func (s *SelfService) purpose(k kind) string {
	return "selfservice " + string(k) + ":" + s.cfg.IssuerURL.String()
}

// address seals a link, and returns its address.
func (s *SelfService) address(k kind, l *link) (string, error) {
	plain, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encode link: %w", err)
	}
	u := s.cfg.IssuerURL.JoinPath(k.path())
	u.RawQuery = url.Values{fieldToken: {s.cfg.Ring.Seal(s.purpose(k), plain)}}.Encode()
	return u.String(), nil
}

// open returns a link. All that is wrong with one is told alike.
func (s *SelfService) open(ctx context.Context, k kind, token string) (*link, error) {
	if token == "" || len(token) > maxToken {
		return nil, s.gone(k, seal.ErrInvalid)
	}
	plain, err := s.cfg.Ring.Open(ctx, s.purpose(k), token)
	if errors.Is(err, seal.ErrInvalid) {
		return nil, s.gone(k, err)
	}
	if err != nil {
		return nil, notNow(err)
	}
	var l link
	if err := json.Unmarshal(plain, &l); err != nil {
		return nil, s.gone(k, err)
	}
	if !s.cfg.Now().Before(l.Expires) {
		return nil, s.gone(k, errors.New("the link has expired"))
	}
	return &l, nil
}

// userOf returns the user of a link, if it is still good for them. The record is read past the cache, as the link may have been used at
// another replica a moment ago.
func (s *SelfService) userOf(ctx context.Context, k kind, l *link) (*local.User, error) {
	u, outcome, err := s.find(ctx, l.Email)
	switch {
	case err != nil:
		return nil, notNow(err)
	case outcome == event.ResetUnknown || outcome == event.ResetFixed || outcome == event.ResetBlocked:
		return nil, s.gone(k, errors.New(string(outcome)))
	case subtle.ConstantTimeCompare(u.Fingerprint(), l.Print) != 1:
		return nil, s.gone(k, errors.New("the password has been changed since the link was made"))
	}
	return u, nil
}

// find returns the user of an address, and whether a mail may be sent to them.
func (s *SelfService) find(ctx context.Context, email string) (*local.User, event.ResetOutcome, error) {
	e, err := s.cfg.Users.Records().Fresh(ctx, local.Key(email))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, event.ResetUnknown, nil
	case err != nil:
		return nil, "", err
	}
	u := &e.Value
	if records := s.cfg.Users.Records(); records.Configured(e.Key) || records.IsFallback(e) {
		return u, event.ResetFixed, nil
	}
	blocked, err := s.cfg.Identities.Blocked(ctx, u.UserID, connectorID)
	if err != nil {
		return nil, "", err
	}
	if blocked {
		return u, event.ResetBlocked, nil
	}
	if !canGetMail(u) {
		return u, event.ResetNoMail, nil
	}
	return u, event.ResetMailed, nil
}

// gone is the error for a link that is no longer good, or never was. It doesn't tell which.
func (s *SelfService) gone(k kind, cause error) error {
	e := page.Errorf(http.StatusGone, "This link is no longer valid.").Because(cause)
	switch k {
	case reset:
		return e.Hint("It has been used already, or it is too old.").Retry(s.page.Path(resetPath, nil), "Ask for another link")
	case invitation:
		return e.Hint("It has been used already, or it is too old. Ask the people who invited you for another one.")
	case verification:
	}
	return e.Hint("It has been used already, or it is too old.").Retry(s.page.HomePath(), "Go to the start page")
}

// notNow is the error for a storage that fails.
func notNow(cause error) error {
	return page.Errorf(http.StatusServiceUnavailable, "Something went wrong on our side.").Hint("Try again in a moment.").Because(cause)
}
