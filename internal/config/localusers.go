package config

import (
	"cmp"
	"time"
)

// LocalUsers is the settings of users who sign in with a password of Dex itself.
type LocalUsers struct {
	PasswordHash string        `key:"passwordHash"` // Argon2id or Bcrypt
	Passwords    PasswordRules `key:"passwords"`
	// PasswordReset lets users who have forgotten their password set another one, by e-mail.
	PasswordReset bool          `key:"passwordReset"`
	ResetLifetime time.Duration `key:"resetLifetime"` // 30m when absent
	// VerifyEmail has users prove that they read the mail to their address.
	VerifyEmail bool `key:"verifyEmail"`
	// Invitations lets operators give users links with which to set a password.
	Invitations        bool          `key:"invitations"`
	InvitationLifetime time.Duration `key:"invitationLifetime"` // 72h when absent
}

// PasswordRules are what passwords that people choose must be like.
type PasswordRules struct {
	MinLength    int    `key:"minLength"`    // in characters; 8 when absent
	BreachedList string `key:"breachedList"` // the path of a file; empty means none
}

// Values of LocalUsers.PasswordHash.
const (
	Argon2id = "argon2id"
	Bcrypt   = "bcrypt"
)

// Mail is how mail is sent.
type Mail struct {
	From     string `key:"from"` // an address of RFC 5322, with or without a name
	Host     string `key:"host"`
	Port     int    `key:"port"` // 587 when absent; 465 with TLSMail, and 25 with PlainMail
	Username string `key:"username"`
	Password string `key:"password" secret:"file"`
	Security string `key:"security"` // StartTLS, TLSMail or PlainMail; StartTLS when absent
	RootCA   string `key:"rootCA"`   // the path of a PEM file; empty means the system's authorities
	// HelloName is the name with which Dex greets the mail server; that of this machine when absent.
	HelloName string `key:"helloName"`
}

// Values of Mail.Security.
const (
	StartTLS  = "starttls"
	TLSMail   = "tls"
	PlainMail = "none"
)

// Account is the settings of the page on which users see what is theirs.
type Account struct {
	Hidden bool `key:"hidden"`
}

// Bounds and defaults of what is above.
const (
	DefaultMinLength          = 8
	MaxMinLength              = 64
	DefaultResetLifetime      = 30 * time.Minute
	DefaultInvitationLifetime = 72 * time.Hour
)

// setDefaults fills in settings that are absent. Objects of Kubernetes are shared with upstream, which knows only bcrypt.
func (l *LocalUsers) setDefaults(storage string) {
	usual := Argon2id
	if storage == storageKubernetes {
		usual = Bcrypt
	}
	l.PasswordHash = cmp.Or(l.PasswordHash, usual)
	l.Passwords.MinLength = cmp.Or(l.Passwords.MinLength, DefaultMinLength)
	l.ResetLifetime = cmp.Or(l.ResetLifetime, DefaultResetLifetime)
	l.InvitationLifetime = cmp.Or(l.InvitationLifetime, DefaultInvitationLifetime)
}

// mailPorts are the usual ports of mail servers, by Mail.Security.
var mailPorts = map[string]int{StartTLS: 587, TLSMail: 465, PlainMail: 25}

func (m *Mail) setDefaults() {
	m.Security = cmp.Or(m.Security, StartTLS)
	m.Port = cmp.Or(m.Port, mailPorts[m.Security])
}
