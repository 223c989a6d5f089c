package mail

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// A PermanentError is why a mail was not sent, and wouldn't be by another try.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *PermanentError) Unwrap() error { return e.Err }

// maxReason bounds what is kept of what a server says, in bytes.
const maxReason = 500

// failure returns why a try has failed, for the log: without the address, which servers repeat.
func failure(err error, to string) error {
	if err == nil {
		err = errors.New("the mail was not taken")
	}
	said := reason(err)
	if at := indexFold(said, to); to != "" {
		for ; at >= 0; at = indexFold(said, to) {
			said = said[:at] + "…" + said[at+len(to):]
		}
	}
	said = strings.ToValidUTF8(said[:min(len(said), maxReason)], "")
	short := fmt.Errorf("mail server: %s", said)
	if isPermanent(err) {
		return &PermanentError{short}
	}
	return short
}

// reason returns what an error says. The library adds the address and the text's id.
func reason(err error) string {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Error()
	}
	said := err.Error()
	if sending, ok := errors.AsType[*gomail.SendError](err); ok {
		said = sending.Error()
	}
	said, _, _ = strings.Cut(said, ", affected ")
	return said
}

// indexFold is strings.Index regardless of the case of ASCII letters, which keeps the positions.
func indexFold(text, part string) int {
	lower := func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return strings.Index(strings.Map(lower, text), strings.Map(lower, part))
}

// isPermanent reports whether another try would end in the same way: the server says so (5xx), or it isn't the one it should be.
func isPermanent(err error) bool {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return answer.Code >= 500
	}
	if sending, ok := errors.AsType[*gomail.SendError](err); ok {
		return sending.ErrorCode() >= 500
	}
	if _, ours := errors.AsType[*PermanentError](err); ours {
		return true
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return certificate
}

// login proves who we are by the best of what the server offers.
type login struct {
	smtp.Auth

	username, password, host string
	plain                    bool // the connection may be in plain text
}

func (s *Sender) login() *login {
	return &login{username: s.cfg.Username, password: s.cfg.Password, host: s.cfg.Host, plain: s.cfg.Security == Plain}
}

// Start implements smtp.Auth.
func (l *login) Start(server *smtp.ServerInfo) (mechanism string, answer []byte, err error) {
	offers := func(mechanism string) bool {
		return slices.ContainsFunc(server.Auth, func(offered string) bool { return strings.EqualFold(offered, mechanism) })
	}
	switch {
	case offers("SCRAM-SHA-256"):
		l.Auth = smtp.ScramSHA256Auth(l.username, l.password)
	case offers("PLAIN"):
		l.Auth = smtp.PlainAuth("", l.username, l.password, l.host, l.plain)
	case offers("LOGIN"):
		l.Auth = smtp.LoginAuth(l.username, l.password, l.host, l.plain)
	default:
		return "", nil, &PermanentError{fmt.Errorf("it offers none of SCRAM-SHA-256, PLAIN and LOGIN: %q", server.Auth)}
	}
	return l.Auth.Start(server)
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
