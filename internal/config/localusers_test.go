package config_test

import (
	"testing"

	"dex/internal/config"
)

// Hashes in upstream's objects must be ones that upstream knows.
func TestPasswordHashByStorage(t *testing.T) {
	for settings, want := range map[string]string{
		"storage: {type: sqlite3, config: {file: /d}}\n":                                                 config.Argon2id,
		"storage: {type: kubernetes, config: {inCluster: true}}\n":                                       config.Bcrypt,
		"storage: {type: memory}\nlocalUsers: {passwordHash: ''}\n":                                      config.Argon2id,
		"storage: {type: kubernetes, config: {inCluster: true}}\nlocalUsers: {passwordHash: argon2id}\n": config.Argon2id,
	} {
		if got := load(t, settings).LocalUsers.PasswordHash; got != want {
			t.Errorf("%sgot %s, want %s", settings, got, want)
		}
	}
}

func TestMailPorts(t *testing.T) {
	for settings, want := range map[string]int{
		"": 587, "security: tls": 465, "security: none": 25, "security: tls, port: 2465": 2465,
	} {
		got := load(t, "mail: {from: a@example.net, host: mail.example.net, "+settings+"}\n").Mail
		if got.Port != want || got.Security == "" {
			t.Errorf("%s: port %d, want %d; security %q", settings, got.Port, want, got.Security)
		}
	}
}
