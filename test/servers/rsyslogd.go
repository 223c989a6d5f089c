package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Rsyslogd is a syslog server. It takes messages at a Unix socket, and by UDP and TCP on 127.0.0.1.
type Rsyslogd struct {
	Socket  string // path
	Address string // host:port, of UDP and TCP

	account *account
	command command
	process *process // nil while it is stopped
}

// A SyslogMessage is what the server has read of a message.
type SyslogMessage struct {
	Facility, Severity, Version, Timestamp, Host, AppName, ProcID, MsgID, Data, Message string
}

// StartRsyslogd starts a server with directives of its configuration, in which the texts SOCKET and PORT stand for where it listens.
func StartRsyslogd(ctx context.Context, directives string) (*Rsyslogd, error) {
	a, err := newAccount("www-data")
	if err != nil {
		return nil, err
	}
	s := &Rsyslogd{account: a, Socket: a.path("log")}
	if err := s.init(ctx, directives); err != nil {
		return nil, errors.Join(fmt.Errorf("rsyslogd: %w", err), s.Close())
	}
	return s, nil
}

func (s *Rsyslogd) init(ctx context.Context, directives string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	text := strings.NewReplacer("SOCKET", s.Socket, "PORT", strconv.Itoa(port)).Replace(directives) + `
template(name="fields" type="list" option.jsonf="on") {
  property(format="jsonf" outname="facility" name="syslogfacility-text")
  property(format="jsonf" outname="severity" name="syslogseverity-text")
  property(format="jsonf" outname="version" name="protocol-version")
  property(format="jsonf" outname="timestamp" name="timestamp" dateFormat="rfc3339")
  property(format="jsonf" outname="host" name="hostname")
  property(format="jsonf" outname="appName" name="app-name")
  property(format="jsonf" outname="procID" name="procid")
  property(format="jsonf" outname="msgID" name="msgid")
  property(format="jsonf" outname="data" name="structured-data")
  property(format="jsonf" outname="message" name="msg")
}
action(type="omfile" file="` + s.received() + `" template="fields")
`
	settings, err := s.account.write("rsyslog.conf", []byte(text))
	if err != nil {
		return err
	}
	s.command = command{program: "/usr/sbin/rsyslogd", args: []string{"-n", "-i", "NONE", "-f", settings}, ready: s.answers}
	return s.Start(ctx)
}

func (s *Rsyslogd) received() string { return s.account.path("received") }

// answers looks whether the server listens.
func (s *Rsyslogd) answers(ctx context.Context) error {
	for network, address := range map[string]string{"tcp": s.Address, "unixgram": s.Socket} {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Received returns all messages so far.
func (s *Rsyslogd) Received() (messages []SyslogMessage, err error) {
	text, err := os.ReadFile(s.received())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var m SyslogMessage
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// Start starts the server again.
func (s *Rsyslogd) Start(ctx context.Context) error {
	var err error
	s.process, err = s.account.start(ctx, s.command)
	return err
}

// Stop shuts the server down.
func (s *Rsyslogd) Stop() error {
	p := s.process
	s.process = nil
	return p.stop()
}

// Kill ends the server as a crash would.
func (s *Rsyslogd) Kill() {
	s.process.kill()
	s.process = nil
}

// Close stops the server and removes its files.
func (s *Rsyslogd) Close() error {
	var err error
	if s.process != nil {
		err = s.Stop()
	}
	return errors.Join(err, s.account.remove())
}
