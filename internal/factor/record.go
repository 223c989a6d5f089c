package factor

import (
	"bytes"
	"slices"
	"time"

	"dex/internal/store"
)

// Kind is the kind of the records.
var Kind = store.Declare(store.Declaration[Record]{Name: "factor", Durable: true, Quiet: true})

// A Record is what a user has enrolled. The zero value is that of somebody without factors.
type Record struct {
	UserID      string `json:"userID"`
	ConnectorID string `json:"connectorID"`

	TOTP        map[string]TOTP `json:"totp,omitempty"` // by authenticator
	Credentials []Credential    `json:"credentials,omitempty"`
	// RecoveryCodes are the hashes of those that are left.
	RecoveryCodes [][]byte `json:"recoveryCodes,omitempty"`
	// UsedCode is the hash of the one that was used last: the button may be pressed twice.
	UsedCode []byte `json:"usedCode,omitempty"`
	// Guesses are the wrong codes since the last right one.
	Guesses Guesses `json:"guesses,omitzero"`
	// Answered are the challenges that have led to something and could still be answered once more.
	Answered []answered `json:"answered,omitempty"`
}

// A TOTP is an app that makes codes.
type TOTP struct {
	Secret   []byte    `json:"secret"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"`
	Step     int64     `json:"step"`            // of the last code accepted; no earlier one is accepted any more
	Drift    int64     `json:"drift,omitempty"` // in steps, by which the app's clock was ahead of ours then
}

// A Credential is a security key or a passkey.
type Credential struct {
	ID            []byte `json:"id"`
	Authenticator string `json:"authenticator"`
	Name          string `json:"name"`

	PublicKey []byte `json:"publicKey"` // COSE
	SignCount uint32 `json:"signCount,omitempty"`
	// Clone says that the count went back. Such a credential is refused until it is removed.
	Clone bool `json:"clone,omitempty"`

	BackupEligible bool     `json:"backupEligible,omitempty"` // it may be synced to other devices
	BackupState    bool     `json:"backupState,omitempty"`    // it was, as of its last use
	AAGUID         []byte   `json:"aaguid,omitempty"`         // the model, which only attestation proves
	Attestation    string   `json:"attestation,omitempty"`    // its format
	Transports     []string `json:"transports,omitempty"`

	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"`
}

// answered is a challenge that must not be answered again.
type answered struct {
	Nonce   []byte    `json:"nonce"`
	Expires time.Time `json:"expires"`
}

// Has reports whether the user has enrolled something for an authenticator.
func (r *Record) Has(authenticatorID string) bool {
	if _, ok := r.TOTP[authenticatorID]; ok {
		return true
	}
	return slices.ContainsFunc(r.Credentials, func(c Credential) bool { return c.Authenticator == authenticatorID })
}

// Any reports whether the user has enrolled anything.
func (r *Record) Any() bool { return len(r.TOTP) > 0 || len(r.Credentials) > 0 }

// RecoveryLeft returns how many recovery codes are left.
func (r *Record) RecoveryLeft() int { return len(r.RecoveryCodes) }

// find returns the index of a credential; -1 if it isn't there.
func (r *Record) find(credentialID []byte) int {
	return slices.IndexFunc(r.Credentials, func(c Credential) bool { return bytes.Equal(c.ID, credentialID) })
}

// of returns the credentials of an authenticator.
func (r *Record) of(authenticatorID string) []Credential {
	var found []Credential
	for _, c := range r.Credentials {
		if c.Authenticator == authenticatorID {
			found = append(found, c)
		}
	}
	return found
}

// meets returns which condition does not hold.
func (r *Record) meets(all []Condition) error {
	for _, holds := range all {
		if err := holds(r); err != nil {
			return err
		}
	}
	return nil
}

// tidy removes the recovery codes of somebody who has no factors any more.
func (r *Record) tidy() {
	if !r.Any() {
		r.RecoveryCodes, r.UsedCode = nil, nil
	}
}
