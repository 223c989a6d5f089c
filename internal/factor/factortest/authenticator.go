// Package factortest has an authenticator in software: a browser with a security key, or with passkeys, for tests.
package factortest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// The errors that browsers have other names for.
var (
	ErrExcluded = errors.New("the authenticator has a credential of the user already") // InvalidStateError
	ErrNone     = errors.New("the authenticator has no such credential")               // NotAllowedError
)

// Flags of authenticator data, WebAuthn 6.1.
const (
	userPresent    = 1 << 0
	userVerified   = 1 << 2
	backupEligible = 1 << 3
	backupState    = 1 << 4
	attested       = 1 << 6
)

// An Authenticator makes ES256 credentials and signs with them. Change its fields to make it misbehave. The zero value is a security key
// without a PIN that doesn't count.
type Authenticator struct {
	Origin         string // of the page that asks
	UserVerified   bool   // it asks for a PIN or a finger each time
	UserAbsent     bool   // nobody has touched it
	Counts         bool
	BackupEligible bool // passkeys that may be synced
	BackedUp       bool
	Finds          bool // all its credentials without being told their IDs, even where that wasn't asked for
	AAGUID         [16]byte
	RPID           string       // signed in place of the one asked for, if set
	UserHandle     []byte       // told in place of the one from the registration, if set
	Attestation    *Attestation // how it proves its model; nil if it doesn't

	credentials []credential
}

// An Attestation is what the maker of an authenticator has put into it.
type Attestation struct {
	Key   *ecdsa.PrivateKey
	Chain [][]byte // certificates in DER, that of the key first
}

type credential struct {
	id         []byte
	rpID       string
	userHandle []byte
	resident   bool
	key        *ecdsa.PrivateKey
	count      uint32
}

// Clone returns a copy, which has the same keys and counts for itself.
func (a *Authenticator) Clone() *Authenticator {
	c := *a
	c.credentials = slices.Clone(a.credentials)
	return &c
}

type descriptor struct {
	ID encoded `json:"id"`
}

// encoded is bytes in base64url.
type encoded []byte

func (e encoded) MarshalJSON() ([]byte, error) {
	return json.Marshal(base64.RawURLEncoding.EncodeToString(e))
}

func (e *encoded) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	*e = b
	return err
}

// Create answers the options for navigator.credentials.create, both as JSON.
func (a *Authenticator) Create(options []byte) ([]byte, error) {
	var o struct {
		PublicKey struct {
			RP struct {
				ID string `json:"id"`
			} `json:"rp"`
			User                   descriptor   `json:"user"`
			Challenge              encoded      `json:"challenge"`
			ExcludeCredentials     []descriptor `json:"excludeCredentials"`
			AuthenticatorSelection struct {
				ResidentKey string `json:"residentKey"`
			} `json:"authenticatorSelection"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	for _, excluded := range o.PublicKey.ExcludeCredentials {
		if a.find(excluded.ID, o.PublicKey.RP.ID) != nil {
			return nil, ErrExcluded
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := credential{
		id: make([]byte, 32), rpID: o.PublicKey.RP.ID, userHandle: o.PublicKey.User.ID, key: key,
		resident: a.Finds || o.PublicKey.AuthenticatorSelection.ResidentKey != "discouraged",
	}
	_, _ = rand.Read(c.id)
	clientData := a.clientData("webauthn.create", o.PublicKey.Challenge)
	object, err := a.attest(&c, clientData)
	if err != nil {
		return nil, err
	}
	a.credentials = append(a.credentials, c)
	return json.Marshal(map[string]any{
		"id": encoded(c.id), "rawId": encoded(c.id), "type": "public-key", "authenticatorAttachment": "cross-platform",
		"response": map[string]any{
			"clientDataJSON": encoded(clientData), "attestationObject": encoded(object), "transports": []string{"usb", "internal"},
		},
		"clientExtensionResults": map[string]any{},
	})
}

// Get answers the options for navigator.credentials.get, both as JSON.
func (a *Authenticator) Get(options []byte) ([]byte, error) {
	var o struct {
		PublicKey struct {
			Challenge        encoded      `json:"challenge"`
			RPID             string       `json:"rpId"`
			AllowCredentials []descriptor `json:"allowCredentials"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil {
		return nil, err
	}
	c := a.choose(o.PublicKey.AllowCredentials, o.PublicKey.RPID)
	if c == nil {
		return nil, ErrNone
	}
	if a.Counts {
		c.count++
	}
	clientData := a.clientData("webauthn.get", o.PublicKey.Challenge)
	data := a.data(c, 0)
	hash := sha256.Sum256(clientData)
	signature, err := sign(c.key, slices.Concat(data, hash[:]))
	if err != nil {
		return nil, err
	}
	response := map[string]any{
		"clientDataJSON": encoded(clientData), "authenticatorData": encoded(data), "signature": encoded(signature),
	}
	switch {
	case a.UserHandle != nil:
		response["userHandle"] = encoded(a.UserHandle)
	case c.resident:
		response["userHandle"] = encoded(c.userHandle)
	}
	return json.Marshal(map[string]any{
		"id": encoded(c.id), "rawId": encoded(c.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
}

// choose returns the credential that a user would take: the last one made.
func (a *Authenticator) choose(allowed []descriptor, rpID string) *credential {
	for i := range slices.Backward(a.credentials) {
		c := &a.credentials[i]
		isAllowed := slices.ContainsFunc(allowed, func(d descriptor) bool { return bytes.Equal(d.ID, c.id) })
		if c.rpID == rpID && (isAllowed || len(allowed) == 0 && c.resident) {
			return c
		}
	}
	return nil
}

func (a *Authenticator) find(id []byte, rpID string) *credential {
	for i := range a.credentials {
		if c := &a.credentials[i]; bytes.Equal(c.id, id) && c.rpID == rpID {
			return c
		}
	}
	return nil
}

func (a *Authenticator) clientData(ceremony string, challenge encoded) []byte {
	data, err := json.Marshal(map[string]any{"type": ceremony, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	if err != nil {
		panic(err) // it never fails for strings
	}
	return data
}

// data returns authenticator data, WebAuthn 6.1.
func (a *Authenticator) data(c *credential, flags byte) []byte {
	for flag, set := range map[byte]bool{
		userPresent: !a.UserAbsent, userVerified: a.UserVerified, backupEligible: a.BackupEligible, backupState: a.BackedUp,
	} {
		if set {
			flags |= flag
		}
	}
	rpID := c.rpID
	if a.RPID != "" {
		rpID = a.RPID
	}
	hash := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(hash[:], flags), c.count)
}

// attest returns an attestation object, WebAuthn 6.5, of format none or packed.
func (a *Authenticator) attest(c *credential, clientData []byte) ([]byte, error) {
	publicKey, err := coseKey(&c.key.PublicKey)
	if err != nil {
		return nil, err
	}
	data := a.data(c, attested)
	data = append(data, a.AAGUID[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(c.id))) //nolint:gosec // 32
	data = slices.Concat(data, c.id, publicKey)
	object := map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data}
	if a.Attestation != nil {
		hash := sha256.Sum256(clientData)
		signature, err := sign(a.Attestation.Key, slices.Concat(data, hash[:]))
		if err != nil {
			return nil, err
		}
		object["fmt"] = "packed"
		object["attStmt"] = map[string]any{"alg": -7, "sig": signature, "x5c": a.Attestation.Chain}
	}
	return webauthncbor.Marshal(object)
}

// coseKey encodes a key for ES256, RFC 9053 (7.1.1).
func coseKey(key *ecdsa.PublicKey) ([]byte, error) {
	point, err := key.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	return webauthncbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
}

func sign(key *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	hash := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, key, hash[:])
}

// Handle returns the user handle of the last credential made.
func (a *Authenticator) Handle() []byte { return a.credentials[len(a.credentials)-1].userHandle }
