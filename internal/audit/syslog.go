package audit

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dex/internal/outbound"
)

// Severities of syslog.
const (
	severityNotice = 5
	severityInfo   = 6
)

const dialTimeout = 5 * time.Second

// A syslog is an output to a syslog server, in the format of RFC 5424. Over TCP and TLS messages are counted (RFC 6587, 3.4.1;
// RFC 5425).
type syslog struct {
	network, address string
	tls              *tls.Config // nil for none
	framed           bool
	facility         int
	appName, host    string

	conn net.Conn
	gone *atomic.Bool // whether the server has closed the connection
}

// newSyslog returns an output to an address such as udp://host:514 or unix:///dev/log.
func newSyslog(o Output) (*syslog, error) {
	u, err := url.Parse(o.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	s := &syslog{network: u.Scheme, address: u.Host, facility: o.Facility, appName: o.AppName, host: printable(host, 255)}
	switch u.Scheme {
	case "unix":
		s.network, s.address = "unixgram", u.Path
	case "tcp":
		s.framed = true
	case "tls":
		s.network, s.framed = "tcp", true
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		if o.RootCA != "" {
			if s.tls.RootCAs, err = outbound.Pool([]string{o.RootCA}); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// printable returns what a field of the header may hold: ASCII without spaces, of at most a length.
func printable(text string, most int) string {
	shown := bytes.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, []byte(text))
	if len(shown) == 0 {
		return "-"
	}
	return string(shown[:min(len(shown), most)])
}

func (s *syslog) begin(ctx context.Context) (string, error) { return "", s.connect(ctx) }

func (s *syslog) connect(ctx context.Context) error {
	if s.conn != nil && !s.gone.Load() {
		return nil
	}
	s.hangUp()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.dial(ctx, s.network)
	if err != nil && s.network == "unixgram" { // some servers listen for streams
		if stream, streamErr := s.dial(ctx, "unix"); streamErr == nil {
			conn, err = stream, nil
		}
	}
	if err != nil {
		return err
	}
	s.conn, s.gone = conn, new(atomic.Bool)
	if _, isStream := conn.(*net.UnixConn); s.framed || isStream && conn.RemoteAddr().Network() == "unix" {
		go watch(conn, s.gone)
	}
	return nil
}

func (s *syslog) dial(ctx context.Context, network string) (net.Conn, error) {
	if s.tls != nil {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, network, s.address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, s.address)
}

// watch notices that the server has closed the connection: the next write would seem to succeed. It ends with the connection.
func watch(conn net.Conn, gone *atomic.Bool) {
	buffer := make([]byte, 512)
	for {
		if _, err := conn.Read(buffer); err != nil {
			gone.Store(true)
			return
		}
	}
}

func (s *syslog) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close() // nothing more is sent
		s.conn = nil
	}
}

func (s *syslog) write(ctx context.Context, lines []line) (taken int, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetWriteDeadline(deadline) // without one the write fails at once
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, l := range lines {
		if _, err := s.conn.Write(s.message(l)); err != nil {
			if errors.Is(err, unix.EMSGSIZE) { // no datagram is so large: others needn't wait behind it
				return taken, &declined{lines: 1, cause: err}
			}
			s.hangUp() // the server may have got a part
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// message returns a record as a message of RFC 5424.
func (s *syslog) message(l line) []byte {
	severity := severityInfo
	if l.failed {
		severity = severityNotice
	}
	text := fmt.Appendf(nil, "<%d>1 %s %s %s %d %s - ", s.facility*8+severity, l.at.UTC().Format("2006-01-02T15:04:05.000000Z"),
		s.host, s.appName, os.Getpid(), printable(string(l.kind), 32))
	text = append(text, bytes.TrimSuffix(l.text, []byte("\n"))...)
	switch {
	case s.framed:
		return append(strconv.AppendInt(nil, int64(len(text)), 10), append([]byte(" "), text...)...)
	case s.conn != nil && s.conn.RemoteAddr().Network() == "unix": // a stream without counts
		return append(text, '\n')
	}
	return text
}

func (s *syslog) settle() error { return nil }

func (s *syslog) close() error {
	s.hangUp()
	return nil
}
