package factor

import (
	"strings"
	"time"
	"unicode"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

const (
	maxName = 64 // characters
	// defaultName is that of credentials whose users gave them none.
	defaultName = "Security key"
)

// credentialOf returns what is kept of a new credential.
func credentialOf(made *webauthn.Credential, authenticatorID string, now time.Time) Credential {
	c := Credential{
		ID: made.ID, Authenticator: authenticatorID, PublicKey: made.PublicKey, SignCount: made.Authenticator.SignCount,
		BackupEligible: made.Flags.BackupEligible, BackupState: made.Flags.BackupState,
		AAGUID: made.Authenticator.AAGUID, Attestation: made.AttestationFormat, Created: now,
	}
	for _, t := range made.Transport {
		if len(c.Transports) < 10 && len(t) < 30 {
			c.Transports = append(c.Transports, string(t))
		}
	}
	return c
}

// count takes the count of a signature, which must have grown unless the authenticator doesn't count (WebAuthn, 7.2).
func (c *Credential) count(n uint32) error {
	if (n != 0 || c.SignCount != 0) && n <= c.SignCount {
		c.Clone = true
		return ErrClone
	}
	c.SignCount = n
	return nil
}

// credential returns what the library knows of a credential.
func (c *Credential) credential() webauthn.Credential {
	made := webauthn.Credential{
		ID: c.ID, PublicKey: c.PublicKey, AttestationFormat: c.Attestation,
		Flags:         webauthn.CredentialFlags{BackupEligible: c.BackupEligible, BackupState: c.BackupState},
		Authenticator: webauthn.Authenticator{AAGUID: c.AAGUID, SignCount: c.SignCount, CloneWarning: c.Clone},
	}
	for _, t := range c.Transports {
		made.Transport = append(made.Transport, protocol.AuthenticatorTransport(t))
	}
	return made
}

func descriptors(enrolled []Credential) []protocol.CredentialDescriptor {
	made := make([]protocol.CredentialDescriptor, len(enrolled))
	for i := range enrolled {
		c := enrolled[i].credential()
		made[i] = c.Descriptor()
	}
	return made
}

// credentialName returns a name as it is kept: short and on one line.
func credentialName(name string) string {
	name = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, ""))), " ")
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName])
	}
	if name == "" {
		return defaultName
	}
	return name
}
