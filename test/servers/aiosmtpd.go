package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Aiosmtpd is a mail server on 127.0.0.1 that takes mail only after STARTTLS, and keeps it in a folder.
type Aiosmtpd struct {
	Port   int
	CAFile string // of the authority of its certificate, which is for 127.0.0.1

	account *account
	process *process
}

// StartAiosmtpd starts a mail server.
func StartAiosmtpd(ctx context.Context) (*Aiosmtpd, error) {
	a, err := newAccount("www-data")
	if err != nil {
		return nil, err
	}
	s := &Aiosmtpd{account: a}
	if err := s.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("aiosmtpd: %w", err), s.Close())
	}
	return s, nil
}

func (s *Aiosmtpd) init(ctx context.Context) error {
	authority, err := NewAuthority()
	if err != nil {
		return err
	}
	cert, key, err := authority.Issue("mail", "127.0.0.1")
	if err != nil {
		return err
	}
	files := map[string]string{}
	for name, content := range map[string][]byte{"ca.pem": authority.PEM, "cert.pem": cert, "key.pem": key} {
		if files[name], err = s.account.write(name, content); err != nil {
			return err
		}
	}
	s.CAFile = files["ca.pem"]
	if s.Port, err = freePort(ctx); err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
	s.process, err = s.account.start(ctx, command{
		program: debianPython,
		args: []string{
			"-m", "aiosmtpd", "-n", "-l", address, "--tlscert", files["cert.pem"], "--tlskey", files["key.pem"],
			"-c", "aiosmtpd.handlers.Mailbox", s.account.path("mail"),
		},
		stop: syscall.SIGINT,
		ready: func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
	return err
}

// Mail returns the next mail that comes, as it was sent.
func (s *Aiosmtpd) Mail(ctx context.Context) ([]byte, error) {
	for {
		found, err := filepath.Glob(filepath.Join(s.account.path("mail"), "new", "*"))
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			text, err := os.ReadFile(found[0])
			if err != nil {
				return nil, err
			}
			return text, os.Remove(found[0])
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(readyEvery):
		}
	}
}

// Close stops the server and removes its files.
func (s *Aiosmtpd) Close() error {
	var err error
	if s.process != nil {
		err = s.process.stop()
	}
	return errors.Join(err, s.account.remove())
}
