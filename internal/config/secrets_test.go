package config_test

import (
	"strings"
	"testing"
)

// TestSecretsAreNotQuoted puts a secret into the wrong place, with the wrong shape or type, in every way that comes to
// mind, and looks for it in the messages.
func TestSecretsAreNotQuoted(t *testing.T) {
	const secret = "hunter2"
	for _, input := range []string{
		"staticClients: [{id: a, name: A, secret: [hunter2]}]\n",
		"staticClients: [{id: a, name: A, secret: {a: hunter2}}]\n",
		"staticClients: [{id: a, name: A, secretEnv: 'hunter2!'}]\n",
		"staticClients: [{id: a, name: A, secret: *hunter2}]\n",
		"staticClients: [{id: a, name: A, secret: !hunter2{ x}]\n",
		"staticClients: [{id: a, name: A, secret: \"hunter2}]\n",
		"staticClients: [{id: a, name: A, secret: @hunter2}]\n",
		"staticClients: [{id: a, name: A, secret: hunter2: x}]\n",
		"staticClients: [{id: a, name: A, public: hunter2}]\n",
		"# env: SECRET=hunter2\nstaticClients: [{idEnv: NONE, secretEnv: SECRET, secret: hunter2}]\n",
		"staticPasswords: [{email: a@example.net, userID: a, hash: hunter2}]\n",
		"staticPasswords: [{email: a@example.net, userID: a, hash: aHVudGVyMg==}]\n",
		"# env: HASH=hunter2\nstaticPasswords: [{email: a@example.net, userID: a, hashFromEnv: HASH}]\n",
		"# env: DEX_SESSIONS_ENABLED=true\nsessions: {cookieEncryptionKey: hunter2}\n",
		"signer: {type: vault, config: {token: hunter2}}\n",
		"signer: {type: local, config: {keysRotationPeriod: hunter2, token: hunter2}}\n",
		"storage: {type: postgres, config: hunter2}\n",
		"storage: {type: hunter, config: {password: hunter2}}\n",
		"connectors: [{type: ldap, config: hunter2}]\n",
		"connectors: [{type: ldap, config: [hunter2]}]\n",
		"issuer: https://admin:hunter2@id.example.net\n",
		"issuer: ://hunter2\n",
	} {
		_, problems := check(source(input))
		if len(problems) == 0 {
			t.Errorf("no problems in %s", input)
		}
		if out := lines(problems); strings.Contains(out, secret) || strings.Contains(out, "aHVudGVyMg") {
			t.Errorf("the problems of %s quote the secret:\n%s", input, out)
		}
	}
}
