package config

import (
	"net"
	"net/mail"
	"strings"
	"time"
)

func (v *validator) localUsers() {
	l := v.cfg.LocalUsers
	v.OptionalOf("localUsers.passwordHash", l.PasswordHash, passwordHashes)
	if v.section.fills("localUsers.passwords.minLength") && (l.Passwords.MinLength < 1 || l.Passwords.MinLength > MaxMinLength) {
		v.Errorf("localUsers.passwords.minLength", "must be 1 to %d", MaxMinLength)
	}
	v.within("localUsers.resetLifetime", l.ResetLifetime, time.Minute, 24*time.Hour, "1m to 24h")
	v.within("localUsers.invitationLifetime", l.InvitationLifetime, time.Hour, 720*time.Hour, "1h to 720h")
	for key, on := range map[string]bool{
		"localUsers.passwordReset": l.PasswordReset, "localUsers.verifyEmail": l.VerifyEmail, "localUsers.invitations": l.Invitations,
	} {
		if on && v.cfg.Mail == nil && key != "localUsers.invitations" && !v.IsBroken("mail") {
			v.Errorf(key, "needs the section mail, which says how mail is sent")
		}
		if on && !v.cfg.EnablePasswordDB && !v.IsBroken("enablePasswordDB") {
			v.Errorf(key, "needs enablePasswordDB: true; other users have their passwords elsewhere")
		}
	}
}

// within reports a duration in the file that is shorter or longer than it may be; bounds says which those are.
func (v *validator) within(key string, value, shortest, longest time.Duration, bounds string) {
	if v.section.fills(key) && (value < shortest || value > longest) {
		v.Errorf(key, "must be %s", bounds)
	}
}

func (v *validator) mail() {
	m := v.cfg.Mail
	if m == nil {
		return
	}
	if v.Required("mail.from", m.From, "the address that mail comes from, as in Example <no-reply@example.com>") {
		if _, err := mail.ParseAddress(m.From); err != nil {
			v.Errorf("mail.from", "%q is not an address; it should be like Example <no-reply@example.com>", m.From)
		}
	}
	if v.Required("mail.host", m.Host, "the name of the mail server") {
		v.mailHost(m.Host)
	}
	if v.section.fills("mail.port") && (m.Port < 1 || m.Port > 65535) {
		v.Errorf("mail.port", "must be 1 to 65535")
	}
	v.OptionalOf("mail.security", m.Security, mailSecurity)
	v.mailLogin(m)
	if m.Security == PlainMail && m.RootCA != "" {
		v.Warnf("mail.rootCA", "has no effect with security: none")
	}
	if m.HelloName != "" && !hostPattern.MatchString(m.HelloName) {
		v.Errorf("mail.helloName", "%q is not the name of a host", m.HelloName)
	}
}

func (v *validator) mailHost(host string) {
	switch {
	case net.ParseIP(host) != nil:
	case hostPattern.MatchString(host) && !strings.HasPrefix(host, "*"):
	default:
		v.Errorf("mail.host", "%q is not the name or the address of a host; mail.port has the port", host)
	}
}

func (v *validator) mailLogin(m *Mail) {
	switch {
	case m.Username == "" && m.Password == "":
	case m.Username == "":
		v.Errorf("mail.password", "needs mail.username")
	case m.Password == "" && !v.IsBroken("mail.password"):
		v.Errorf("mail.username", "needs mail.password or mail.passwordFile")
	case m.Security == PlainMail && !IsLoopback(m.Host):
		v.Errorf("mail.password", "would be sent in plain text; choose security: starttls or tls")
	}
}
