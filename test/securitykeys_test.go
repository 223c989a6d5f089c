package e2e

import (
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
)

// A key is a security key that is plugged into a tab, or a device that keeps passkeys. Only that tab can use it.
type key struct {
	*tab
	id webauthn.AuthenticatorID
}

// Kinds of keys.
var (
	// plainKey is a security key that is touched, and asks for nothing.
	plainKey = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportUsb, HasResidentKey: true,
		AutomaticPresenceSimulation: true,
	}
	// laptop asks for a finger, and syncs what it keeps.
	laptop = webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
		HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		DefaultBackupEligibility: true, DefaultBackupState: true,
	}
)

// plugIn gives the tab a key.
func (b *tab) plugIn(kind webauthn.VirtualAuthenticatorOptions) *key {
	b.t.Helper()
	call(b, webauthn.Enable, webauthn.EnableParams{})
	return &key{b, call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &kind}).AuthenticatorID}
}

// credentials returns what the key keeps.
func (k *key) credentials() []*webauthn.Credential {
	k.t.Helper()
	return call(k.tab, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: k.id}).Credentials
}

// credential returns the only one that the key keeps.
func (k *key) credential() *webauthn.Credential {
	k.t.Helper()
	all := k.credentials()
	if len(all) != 1 {
		k.t.Fatalf("the key keeps %d credentials, want one", len(all))
	}
	return all[0]
}

// addCredential is webauthn.AddCredential without what only some virtual authenticators know.
var addCredential = cdp.Command[kept, cdp.Empty]{Method: webauthn.CommandAddCredential}

type kept struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      section                  `json:"credential"`
}

// keep puts credentials into the key.
func (k *key) keep(credentials ...*webauthn.Credential) *key {
	k.t.Helper()
	for _, c := range credentials {
		more := section{
			"credentialId": c.CredentialID, "isResidentCredential": c.IsResidentCredential, "rpId": c.RpID, "privateKey": c.PrivateKey,
			"signCount": c.SignCount, "backupEligibility": c.BackupEligibility, "backupState": c.BackupState,
		}
		if len(c.UserHandle) > 0 {
			more["userHandle"] = c.UserHandle
		}
		call(k.tab, addCredential, kept{k.id, more})
	}
	return k
}

// lose takes a credential away from the key.
func (k *key) lose(c *webauthn.Credential) {
	k.t.Helper()
	call(k.tab, webauthn.RemoveCredential, webauthn.RemoveCredentialParams{AuthenticatorID: k.id, CredentialID: c.CredentialID})
}

// recognize sets whether the key recognizes who uses it.
func (k *key) recognize(yes bool) {
	k.t.Helper()
	call(k.tab, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: k.id, IsUserVerified: yes})
}

// touch sets whether the user touches the key when it asks for that.
func (k *key) touch(yes bool) {
	k.t.Helper()
	call(k.tab, webauthn.SetAutomaticPresenceSimulation,
		webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: k.id, Enabled: yes})
}

// unplug takes the key away.
func (k *key) unplug() {
	k.t.Helper()
	call(k.tab, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: k.id})
}
