package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"dex/internal/event"
	"dex/internal/factor"
	"dex/internal/identity"
	"dex/internal/store"
)

// A Factor is a second factor or a passkey of a user, without what is secret of it.
type Factor struct {
	ID            string // among the user's: totp:AUTHENTICATOR, or webauthn: and the id of the credential in base64url
	Authenticator string // in the configuration, which may no longer have it
	Type          string // as in the configuration
	Created       time.Time
	LastUsed      time.Time // zero if it never was, or nobody knows
	// Credential is what is known of a security key or passkey; nil for apps.
	Credential *Credential
}

// A Credential is a security key or a passkey, without its public key.
type Credential struct {
	ID             []byte
	Name           string // that the user has given it
	SignCount      uint32
	Clone          bool // it seems to have been copied, and is refused until it is removed
	BackupEligible bool // it may be synced to other devices
	BackupState    bool // it was, as of its last use
	AAGUID         []byte
	Attestation    string
	Transports     []string
}

// Factors are what a user has set up, and how things stand with their codes.
type Factors struct {
	All           []Factor // by authenticator
	RecoveryCodes int      // that are left
	WrongCodes    int      // since the last right one
	LockedUntil   time.Time
	Locked        bool // until somebody unlocks the codes
}

// Prefixes of the ids of factors.
const (
	prefixTOTP     = "totp:"
	prefixWebAuthn = "webauthn:"
)

// CredentialFactor returns the id of the factor that a credential is.
func CredentialFactor(credentialID []byte) string {
	return prefixWebAuthn + base64.RawURLEncoding.EncodeToString(credentialID)
}

// factorsOf returns what of a record may be shown.
func factorsOf(r *factor.Record) Factors {
	f := Factors{RecoveryCodes: r.RecoveryLeft(), WrongCodes: r.Guesses.Wrong}
	f.LockedUntil, f.Locked = r.Locked(time.Now())
	if f.Locked {
		f.LockedUntil = time.Time{}
	}
	for _, id := range slices.Sorted(maps.Keys(r.TOTP)) {
		t := r.TOTP[id]
		f.All = append(f.All, Factor{
			ID: prefixTOTP + id, Authenticator: id, Type: factor.TypeTOTP, Created: t.Created, LastUsed: t.LastUsed,
		})
	}
	for _, c := range r.Credentials {
		f.All = append(f.All, Factor{
			ID: CredentialFactor(c.ID), Authenticator: c.Authenticator, Type: factor.TypeWebAuthn, Created: c.Created, LastUsed: c.LastUsed,
			Credential: &Credential{
				ID: c.ID, Name: c.Name, SignCount: c.SignCount, Clone: c.Clone, BackupEligible: c.BackupEligible, BackupState: c.BackupState,
				AAGUID: c.AAGUID, Attestation: c.Attestation, Transports: c.Transports,
			},
		})
	}
	slices.SortStableFunc(f.All, func(a, b Factor) int { return strings.Compare(a.Authenticator, b.Authenticator) })
	return f
}

// Factors returns the second factors of a user.
func (s *Service) Factors(ctx context.Context, userID, connectorID string) (Factors, error) {
	if err := allow(ctx, FactorsList); err != nil {
		return Factors{}, err
	}
	r, err := s.enrolled(ctx, userID, connectorID)
	return factorsOf(&r), err
}

// FactorsOf returns the second factors of users of a list, in its order. Those taken over from upstream that can't be read are left out.
func (s *Service) FactorsOf(ctx context.Context, users []identity.Entry) ([]Factors, error) {
	if err := allow(ctx, FactorsList); err != nil || len(users) == 0 {
		return nil, err
	}
	found, err := s.cfg.Factors.Of(ctx, users)
	if err != nil {
		return nil, refusal(err, "second factors")
	}
	all := make([]Factors, len(found))
	for i := range found {
		all[i] = factorsOf(&found[i])
	}
	return all, nil
}

// userOf returns a user as the factors know them.
func userOf(userID, connectorID string) factor.User {
	return factor.User{UserID: userID, ConnectorID: connectorID}
}

func thingOfFactors(userID, connectorID string) string {
	return "second factors of " + thingOfIdentity(userID, connectorID)
}

// knows returns an error if nothing is known of a user: there is neither an identity, nor anything that a login has set up which
// didn't come to its end.
func (s *Service) knows(ctx context.Context, userID, connectorID string) error {
	_, err := s.identity(ctx, userID, connectorID)
	if err == nil || ReasonOf(err) != NotFound || s.cfg.Factors == nil {
		return err
	}
	known, failed := s.cfg.Factors.Known(ctx, userOf(userID, connectorID))
	if failed != nil {
		return refusal(failed, thingOfFactors(userID, connectorID))
	}
	if known {
		return nil
	}
	return err
}

// enrolled returns what a user who is known has set up.
func (s *Service) enrolled(ctx context.Context, userID, connectorID string) (factor.Record, error) {
	if err := s.knows(ctx, userID, connectorID); err != nil {
		return factor.Record{}, err
	}
	r, err := s.cfg.Factors.Get(ctx, userOf(userID, connectorID))
	return r, refusal(err, thingOfFactors(userID, connectorID))
}

// RemoveFactor removes one second factor of a user.
func (s *Service) RemoveFactor(ctx context.Context, userID, connectorID, factorID string) error {
	if err := allow(ctx, FactorsReset); err != nil {
		return err
	}
	r, err := s.enrolled(ctx, userID, connectorID)
	if err != nil {
		return err
	}
	has := func(f Factor) bool { return f.ID == factorID }
	all := factorsOf(&r).All
	i := slices.IndexFunc(all, has)
	if i < 0 {
		return refusal(store.ErrNotFound, thingOfFactor(userID, connectorID, factorID))
	}
	return s.removeFactor(ctx, userID, connectorID, &all[i])
}

func thingOfFactor(userID, connectorID, factorID string) string {
	return "second factor " + shortened(factorID) + " of " + thingOfIdentity(userID, connectorID)
}

// removeFactor removes a factor, unless this is only a trial.
func (s *Service) removeFactor(ctx context.Context, userID, connectorID string, f *Factor) error {
	if isDryRun(ctx) {
		return nil
	}
	var err error
	if f.Credential != nil {
		err = s.cfg.Factors.RemoveCredential(ctx, userOf(userID, connectorID), f.Credential.ID)
	} else {
		err = s.cfg.Factors.RemoveTOTP(ctx, userOf(userID, connectorID), f.Authenticator)
	}
	if errors.Is(err, factor.ErrNotEnrolled) {
		err = store.ErrNotFound
	}
	if err != nil {
		return refusal(err, thingOfFactor(userID, connectorID, f.ID))
	}
	s.changed(ctx, event.Deleted, "factor", f.ID+" of "+connectorID+"/"+userID)
	return nil
}

// RemoveApp removes the app that a user has set up for an authenticator, and first all else that they have for it. After an error,
// repeat it.
func (s *Service) RemoveApp(ctx context.Context, userID, connectorID, authenticatorID string) error {
	if err := allow(ctx, FactorsReset); err != nil {
		return err
	}
	r, err := s.enrolled(ctx, userID, connectorID)
	if err != nil {
		return err
	}
	if _, ok := r.TOTP[authenticatorID]; !ok {
		return refusal(store.ErrNotFound, thingOfFactor(userID, connectorID, prefixTOTP+authenticatorID))
	}
	all := factorsOf(&r).All
	slices.Reverse(all) // apps come first
	for i := range all {
		if all[i].Authenticator != authenticatorID {
			continue
		}
		if err := s.removeFactor(ctx, userID, connectorID, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

// ResetFactors removes all second factors of a user, with their recovery codes, even those that can't be read. The user sets up new
// ones at the next login that asks for one. Sessions go on.
func (s *Service) ResetFactors(ctx context.Context, userID, connectorID string) error {
	if err := allow(ctx, FactorsReset); err != nil {
		return err
	}
	if err := s.knows(ctx, userID, connectorID); err != nil || isDryRun(ctx) {
		return err
	}
	u := userOf(userID, connectorID)
	if r, err := s.cfg.Factors.Get(ctx, u); err == nil && !r.Any() && r.RecoveryLeft() == 0 && r.Guesses == (factor.Guesses{}) {
		return nil // nothing is written where nothing changes
	}
	if err := s.cfg.Factors.Reset(ctx, u); err != nil {
		return refusal(err, thingOfFactors(userID, connectorID))
	}
	s.changed(ctx, event.Deleted, "factor", "all of "+connectorID+"/"+userID)
	return nil
}

// UnlockCodes lets codes of a user be checked again, however many were wrong.
func (s *Service) UnlockCodes(ctx context.Context, userID, connectorID string) error {
	if err := allow(ctx, FactorsReset); err != nil {
		return err
	}
	r, err := s.enrolled(ctx, userID, connectorID)
	if err != nil || isDryRun(ctx) || r.Guesses == (factor.Guesses{}) {
		return err
	}
	if err := s.cfg.Factors.Unlock(ctx, userOf(userID, connectorID)); err != nil {
		return refusal(err, thingOfFactors(userID, connectorID))
	}
	s.changed(ctx, event.Unlocked, "factor", "codes of "+connectorID+"/"+userID)
	return nil
}
