// Package mailtest is a mail server for tests. It speaks as much SMTP as a client of ours needs, and can be made to fail.
package mailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Mail is what the server has taken.
type Mail struct {
	From, To  string // of the envelope
	Header    mail.Header
	Subject   string
	Text      string
	HTML      string
	Encrypted bool
	Login     string // the name and the password that were shown
}

// Settings are how a server behaves.
type Settings struct {
	Security string            // starttls, tls or none
	Mechs    string            // mechanisms of AUTH; PLAIN where empty
	Answers  map[string]string // answers to commands, by their first word in capitals, or greeting, instead of the usual ones
	Hang     bool              // it never says anything
}

// A Server takes mail on a port of this machine.
type Server struct {
	Port  int
	Roots *x509.CertPool // of its certificate, for 127.0.0.1
	PEM   []byte         // the same

	settings Settings
	tls      *tls.Config
	mails    chan Mail
	mu       sync.Mutex
	asked    int
}

// Start starts a server, until the test ends.
func Start(t *testing.T, set Settings) *Server {
	t.Helper()
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	borrowed.Close()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Port: listener.Addr().(*net.TCPAddr).Port, Roots: x509.NewCertPool(), settings: set,
		tls: &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS12}, mails: make(chan Mail, 1000),
	}
	s.Roots.AddCert(borrowed.Certificate())
	s.PEM = encodePEM(borrowed.Certificate())
	var talks sync.WaitGroup
	open := map[net.Conn]bool{}
	talks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.asked++
			open[conn] = true
			s.mu.Unlock()
			talks.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		s.mu.Unlock()
		talks.Wait()
	})
	return s
}

// Config returns the lines of a configuration file that make the server's mail section.
func (s *Server) Config(rootCA string) string {
	text := fmt.Sprintf("mail:\n  from: Dex <no-reply@dex.test>\n  host: 127.0.0.1\n  port: %d\n  security: %s\n", s.Port, s.settings.Security)
	if rootCA != "" {
		text += "  rootCA: " + rootCA + "\n"
	}
	return text
}

// Next returns the next mail that comes within a few seconds.
func (s *Server) Next(t *testing.T) Mail {
	t.Helper()
	select {
	case m := <-s.mails:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no mail comes")
	}
	return Mail{}
}

// None fails the test if there is a mail that nobody has looked at.
func (s *Server) None(t *testing.T) {
	t.Helper()
	select {
	case m := <-s.mails:
		t.Errorf("unexpected mail to %s: %s", m.To, m.Subject)
	default:
	}
}

// Answer changes the answer to a command; an empty one is the usual one.
func (s *Server) Answer(command, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answers := map[string]string{command: answer}
	for name, other := range s.settings.Answers {
		if name != command {
			answers[name] = other
		}
	}
	s.settings.Answers = answers
}

// Connections returns how many connections there have been.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *Server) answer(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.settings.Answers[command]; other != "" {
		return other
	}
	return usual
}

// talk is one connection.
type talk struct {
	*Server

	conn   net.Conn
	in     *bufio.Reader
	secure bool
	mail   Mail
}

func (s *Server) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	c := &talk{Server: s, conn: conn}
	if s.settings.Security == "tls" {
		c.conn, c.secure = tls.Server(conn, s.tls), true
	}
	c.in = bufio.NewReader(c.conn)
	if s.settings.Hang {
		_, _ = io.Copy(io.Discard, c.in)
		return
	}
	c.say(s.answer("greeting", "220 mail.test ESMTP"))
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		command, rest, _ := strings.Cut(line, " ")
		if !c.handle(strings.ToUpper(command), rest) {
			return
		}
	}
}

func (c *talk) say(line string) { _, _ = fmt.Fprintf(c.conn, "%s\r\n", line) }

// handle answers a command; false ends the connection.
func (c *talk) handle(command, rest string) bool {
	switch command {
	case "EHLO":
		c.hello()
	case "STARTTLS":
		answer := c.answer(command, "220 go on")
		c.say(answer)
		if strings.HasPrefix(answer, "220") {
			c.conn, c.secure = tls.Server(c.conn, c.tls), true
			c.in = bufio.NewReader(c.conn)
		}
	case "AUTH":
		c.auth(rest)
	case "MAIL":
		c.mail.From = between(rest)
		c.say(c.answer(command, "250 ok"))
	case "RCPT":
		c.mail.To = between(rest)
		c.say(c.answer(command, "250 ok"))
	case "DATA":
		c.data()
	case "QUIT":
		c.say(c.answer(command, "221 bye"))
		return false
	default:
		c.say(c.answer(command, "250 ok"))
	}
	return true
}

func (c *talk) hello() {
	c.say("250-mail.test")
	c.say("250-ENHANCEDSTATUSCODES")
	if c.settings.Security == "starttls" && !c.secure && c.answer("EHLO", "") == "" {
		c.say("250-STARTTLS")
	}
	mechs := "PLAIN"
	if c.settings.Mechs != "" {
		mechs = c.settings.Mechs
	}
	c.say("250-AUTH " + mechs)
	c.say("250 8BITMIME")
}

func (c *talk) auth(rest string) {
	mech, first, _ := strings.Cut(rest, " ")
	shown := func(text string) string {
		data, _ := base64.StdEncoding.DecodeString(text)
		return string(data)
	}
	switch mech {
	case "PLAIN":
		c.mail.Login = strings.ReplaceAll(strings.TrimPrefix(shown(first), "\x00"), "\x00", ":")
	case "LOGIN":
		for _, prompt := range []string{"Username:", "Password:"} {
			c.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt)))
			line, _ := c.in.ReadString('\n')
			c.mail.Login += ":" + shown(strings.TrimSpace(line))
		}
		c.mail.Login = strings.TrimPrefix(c.mail.Login, ":")
	}
	c.say(c.answer("AUTH", "235 welcome"))
}

func (c *talk) data() {
	answer := c.answer("DATA", "354 go on")
	c.say(answer)
	if !strings.HasPrefix(answer, "354") {
		return
	}
	var text bytes.Buffer
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	answer = c.answer("end of DATA", "250 taken")
	if strings.HasPrefix(answer, "250") {
		c.mail.Encrypted = c.secure
		read(&c.mail, &text)
		c.mails <- c.mail
	}
	c.say(answer)
}

func between(text string) string {
	_, text, _ = strings.Cut(text, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

// read reads a message of two parts.
func read(m *Mail, text io.Reader) {
	message, err := mail.ReadMessage(text)
	if err != nil {
		m.Text = err.Error()
		return
	}
	m.Header = message.Header
	m.Subject, _ = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	kind, params, _ := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		m.Text = decoded(message.Body, message.Header.Get("Content-Transfer-Encoding"))
		return
	}
	parts := multipart.NewReader(message.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err != nil {
			return
		}
		body := decoded(part, part.Header.Get("Content-Transfer-Encoding"))
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = body
		} else {
			m.Text = body
		}
	}
}

func decoded(body io.Reader, encoding string) string {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, _ := io.ReadAll(body)
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
