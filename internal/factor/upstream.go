package factor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"dex/internal/identity"
	"dex/internal/store"
)

// adopted returns the record of somebody who has none yet: empty, or what upstream has enrolled. It is stored with its first change.
// Factors that can't be read are an error, as somebody who seems to have none could enroll others.
func (f *Factors) adopted(ctx context.Context, u User) (Record, error) {
	r := Record{UserID: u.UserID, ConnectorID: u.ConnectorID}
	if f.identities == nil {
		return r, nil
	}
	e, err := f.identities.Get(store.Latest(ctx), u.UserID, u.ConnectorID)
	if err != nil {
		return Record{}, fmt.Errorf("read what upstream has enrolled: %w", err)
	}
	if err := r.adopt(e.Value.UpstreamFactors); err != nil {
		return Record{}, fmt.Errorf("upstream's second factors for user %q of %q: %w", u.UserID, u.ConnectorID, err)
	}
	return r, nil
}

// upstreamSecret is what upstream keeps of an app.
type upstreamSecret struct {
	Type            string    `json:"type"`
	Secret          string    `json:"secret"` // an otpauth URI
	Confirmed       bool      `json:"confirmed"`
	CreatedAt       time.Time `json:"createdat"`
	LastUsedCounter int64     `json:"lastusedcounter"`
}

// upstreamCredential is what upstream keeps of a security key.
type upstreamCredential struct {
	CredentialID    []byte    `json:"credentialid"`
	PublicKey       []byte    `json:"publickey"`
	AttestationType string    `json:"attestationtype"` // the format, in older releases
	AAGUID          []byte    `json:"aaguid"`
	SignCount       uint32    `json:"signcount"`
	CloneWarning    bool      `json:"clonewarning"`
	Transport       []string  `json:"transport"`
	BackupEligible  bool      `json:"backupeligible"`
	BackupState     bool      `json:"backupstate"`
	DisplayName     string    `json:"displayname"`
	CreatedAt       time.Time `json:"createdat"`
}

func (r *Record) adopt(of identity.UpstreamFactors) error {
	if len(of.MFASecrets) > 0 {
		var byID map[string]json.RawMessage
		if err := decode(of.MFASecrets, &byID); err != nil {
			return err
		}
		for authenticatorID, data := range byID {
			if err := r.adoptSecret(authenticatorID, data); err != nil {
				return fmt.Errorf("authenticator %q: %w", authenticatorID, err)
			}
		}
	}
	if len(of.WebAuthnCredentials) > 0 {
		var byID map[string][]json.RawMessage
		if err := decode(of.WebAuthnCredentials, &byID); err != nil {
			return err
		}
		for authenticatorID, list := range byID {
			for _, data := range list {
				if err := r.adoptCredential(authenticatorID, data); err != nil {
					return fmt.Errorf("authenticator %q: %w", authenticatorID, err)
				}
			}
		}
	}
	return nil
}

// adoptSecret leaves out secrets that nobody has shown a code of: upstream's page gives them to whoever has the first factor.
func (r *Record) adoptSecret(authenticatorID string, data json.RawMessage) error {
	var s upstreamSecret
	if err := decodeMembers(data, &s); err != nil {
		return err
	}
	if !s.Confirmed {
		return nil
	}
	if s.Type != "" && s.Type != TypeTOTP {
		return errors.New("a type that is not known")
	}
	key, err := secretOf(s.Secret)
	if err != nil {
		return err
	}
	t := TOTP{Secret: key, Created: s.CreatedAt, Step: s.LastUsedCounter}
	if t.Step > 0 {
		t.LastUsed = time.Unix(t.Step*totpPeriod, 0).UTC()
	}
	if r.TOTP == nil {
		r.TOTP = map[string]TOTP{}
	}
	r.TOTP[authenticatorID] = t
	return nil
}

// secretOf returns the secret in upstream's URI. Its errors don't have the URI.
func secretOf(uri string) ([]byte, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" {
		return nil, errors.New("not a URI of a secret for codes by time")
	}
	q := u.Query()
	for member, want := range map[string]string{"algorithm": "SHA1", "digits": "6", "period": "30"} {
		if got := q.Get(member); got != "" && !strings.EqualFold(got, want) {
			return nil, fmt.Errorf("codes with another %s than %s", member, want)
		}
	}
	return readSecret(q.Get("secret"))
}

func (r *Record) adoptCredential(authenticatorID string, data json.RawMessage) error {
	var c upstreamCredential
	if err := decodeMembers(data, &c); err != nil {
		return err
	}
	if len(c.CredentialID) == 0 || len(c.PublicKey) == 0 {
		return errors.New("a credential without its id or its key")
	}
	if r.find(c.CredentialID) >= 0 {
		return nil
	}
	r.Credentials = append(r.Credentials, Credential{
		ID: c.CredentialID, Authenticator: authenticatorID, Name: credentialName(c.DisplayName), PublicKey: c.PublicKey,
		SignCount: c.SignCount, Clone: c.CloneWarning, BackupEligible: c.BackupEligible, BackupState: c.BackupState,
		AAGUID: c.AAGUID, Attestation: c.AttestationType, Transports: c.Transport, Created: c.CreatedAt,
	})
	return nil
}

// decodeMembers decodes an object whose members may be spelt as in Go, as in JSON or as in a database: credentialID, credential_id.
func decodeMembers(data json.RawMessage, v any) error {
	var members map[string]json.RawMessage
	if err := decode(data, &members); err != nil {
		return err
	}
	folded := make(map[string]json.RawMessage, len(members))
	for name, value := range members {
		name = strings.ToLower(strings.ReplaceAll(name, "_", ""))
		if other, twice := folded[name]; twice && !bytes.Equal(other, value) {
			return fmt.Errorf("%q is there twice", name)
		}
		folded[name] = value
	}
	data, err := json.Marshal(folded)
	if err != nil {
		return err
	}
	return decode(data, v)
}

// decode decodes JSON. Its errors don't quote it: it has secrets.
func decode(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("not readable as JSON of the expected form")
	}
	return nil
}
