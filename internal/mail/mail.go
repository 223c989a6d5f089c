// Package mail sends mail through a mail server (SMTP), from a queue in memory, so that nobody who asks for a mail waits for it.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"dex/internal/id"
)

// How a connection to the mail server is secured.
const (
	StartTLS = "starttls" // before anything else is said; never without
	TLS      = "tls"      // from the first byte
	Plain    = "none"
)

// MaxAddress is how long an address may be, in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const MaxAddress = 254

// Errors of a try.
var (
	errTime = errors.New("it took too long")
	errTalk = errors.New("it says too much")
)

// tryTime is how long one try may take, from dialling to the server's last answer.
const tryTime = 30 * time.Second

// Config is which server sends the mail, and how it is reached.
type Config struct {
	From     string // an address, with or without a name
	Host     string
	Port     int
	Username string // empty for none
	Password string
	Security string // StartTLS, TLS or Plain
	// Roots are the authorities of the server's certificate; the system's when nil.
	Roots *x509.CertPool
	// HelloName is how we greet the server; the name of this machine when empty.
	HelloName string
}

// A Sender sends mail through one server. It is safe for concurrent use.
type Sender struct {
	cfg  Config
	from *netmail.Address
	tls  *tls.Config
	time time.Duration // for one try
}

// NewSender returns a sender. It asks the server nothing yet: the server may be down.
func NewSender(cfg Config) (*Sender, error) {
	from, err := netmail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("mail from %q: %w", cfg.From, err)
	}
	if cfg.Security == Plain && cfg.Username != "" && !isLoopback(cfg.Host) {
		return nil, fmt.Errorf("mail server %s: a password is sent only over TLS", cfg.Host)
	}
	s := &Sender{cfg: cfg, from: from, time: tryTime}
	s.tls = &tls.Config{ServerName: cfg.Host, RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}
	return s, nil
}

// A Message is one mail to one person. Both texts say the same.
type Message struct {
	To      string // an address alone
	UserID  string // whose it is, for events
	Subject string
	Text    string
	HTML    string
	// Language is the tag of the language of the texts.
	Language string
}

// ErrAddress says that something is not an address that mail can be sent to.
var ErrAddress = errors.New("not an e-mail address")

// Address returns an address, if that is what the text is: without a name, comments or anything that could end a line of a header.
func Address(text string) (*netmail.Address, error) {
	a, err := netmail.ParseAddress(text)
	if err != nil || a.Address != text || len(text) > MaxAddress || strings.ContainsFunc(text, isControl) {
		return nil, ErrAddress
	}
	return a, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// Send makes one try to send a mail. A *PermanentError says that another try would end like this one.
func (s *Sender) Send(ctx context.Context, m *Message) error {
	msg, err := s.message(m)
	if err != nil {
		return &PermanentError{err}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.time, errTime)
	defer cancel()
	c, end, err := s.client(ctx)
	if err != nil {
		return &PermanentError{err}
	}
	defer end()
	session, err := c.DialToSMTPClientWithContext(ctx)
	if err == nil {
		err = c.SendWithSMTPClient(session, msg)
	}
	if msg.IsDelivered() { // whatever came after that, such as a server that hangs up without a word
		_ = session.Quit()
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("mail server: %w", cause)
	}
	return failure(err, m.To)
}

// message returns a mail in the library's form.
func (s *Sender) message(m *Message) (*gomail.Msg, error) {
	to, err := Address(m.To)
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to)
	msg.Subject(strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, m.Subject))
	// The library would name this machine.
	_, domain, _ := strings.Cut(s.from.Address, "@")
	msg.SetMessageIDWithValue(id.New() + "@" + domain)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834, section 5: no out-of-office answers
	if m.Language != "" {
		msg.SetGenHeader("Content-Language", m.Language)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// client returns a client of the library for one try. Call end afterwards: the library doesn't close its connection after every
// failure, nor when the context ends.
func (s *Sender) client(ctx context.Context) (c *gomail.Client, end func(), err error) {
	policy := gomail.NoTLS
	if s.cfg.Security == StartTLS {
		policy = gomail.TLSMandatory
	}
	hangUp := func() {}
	options := []gomail.Option{
		gomail.WithPort(s.cfg.Port), gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(s.tls), gomail.WithTimeout(s.time),
		gomail.WithDialContextFunc(func(dialling context.Context, network, _ string) (net.Conn, error) {
			conn, err := s.dial(dialling, network)
			if err != nil {
				return nil, err
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			hangUp = func() {
				stop()
				_ = conn.Close()
			}
			return conn, nil
		}),
	}
	if s.cfg.HelloName != "" {
		options = append(options, gomail.WithHELO(s.cfg.HelloName))
	}
	if s.cfg.Username != "" {
		options = append(options, gomail.WithSMTPAuthCustom(s.login()))
	}
	c, err = gomail.NewClient(s.cfg.Host, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("mail server %s: %w", s.cfg.Host, err)
	}
	return c, func() { hangUp() }, nil
}

// dial connects to the server. The library must get a *tls.Conn to know that a connection is encrypted.
func (s *Sender) dial(ctx context.Context, network string) (net.Conn, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(s.cfg.Host, strconv.Itoa(s.cfg.Port)))
	if err != nil {
		return nil, err
	}
	var conn net.Conn = &talk{Conn: plain, left: maxTalk}
	if s.cfg.Security != TLS {
		return conn, nil
	}
	secure := tls.Client(conn, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// maxTalk is how much a server may say to one mail, in bytes.
const maxTalk = 1 << 20

// talk is a connection whose other end may not talk for ever.
type talk struct {
	net.Conn

	left int
}

// Read implements net.Conn.
func (t *talk) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, errTalk
	}
	n, err := t.Conn.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}
