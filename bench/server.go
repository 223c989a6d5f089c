package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dex/internal/wait"
)

const (
	clientID     = "bench"
	clientSecret = "bench-secret" // of all clients
	redirectURI  = "http://127.0.0.1:1/callback"

	// deviceClientID is a client with only one connector, so that there is no choice page.
	deviceClientID = "bench-device"

	opaqueClientID = "bench-opaque" // its access tokens are opaque

	username = "bench-user"
	password = "bench-password"

	startTimeout = 30 * time.Second
	untilRest    = 5 * time.Second // what a server needs after its start to give back what only the start has used
)

// configuration is the servers' configuration. It turns off the confirmation page of device logins, which the other logins
// don't have either.
const configuration = `issuer: %s
storage: %s
web: {http: %q}
telemetry: {http: %q, enableProfiling: true}
signer: {type: local, config: {algorithm: %s, keysRotationPeriod: 6h}}
oauth2:
  grantTypes:
  - authorization_code
  - implicit
  - refresh_token
  - password
  - client_credentials
  - urn:ietf:params:oauth:grant-type:device_code
  - urn:ietf:params:oauth:grant-type:token-exchange
  responseTypes: [code, id_token]
  passwordConnector: password
  skipApprovalScreen: true
  compatibility: {deviceConfirm: upstream}
expiry: {refreshTokens: {reuseInterval: 0s}}
connectors:
- {type: mockCallback, id: mock, name: Mock}
- {type: mockPassword, id: password, name: Password, config: {username: ` + username + `, password: ` + password + `}}
staticClients:
- {id: ` + clientID + `, name: Benchmark, secret: ` + clientSecret + `, redirectURIs: [` + redirectURI + `]}
- {id: ` + deviceClientID + `, name: Device, secret: ` + clientSecret + `, redirectURIs: [], allowedConnectors: [mock]}
- {id: ` + opaqueClientID + `, name: Opaque, secret: ` + clientSecret + `, redirectURIs: [], tokens: {accessToken: opaque}}
`

// A setup is what differs between the measured servers.
type setup struct {
	storage   string
	algorithm string
	number    int // of the algorithm, from 1
}

func (s setup) String() string { return s.storage + "-" + s.algorithm }

// A server is a Dex process that is being measured.
type server struct {
	setup  setup
	dir    string // holds all its files; removed in the end
	binary string
	issuer string
	admin  string // address of the telemetry listener

	patience time.Duration // how long to wait for the first answer; startTimeout if 0

	process    *exec.Cmd
	log        *os.File
	firstReply time.Duration // since the start of the process
	resident   int64         // memory of the idle process, in bytes
}

// start starts a server twice and leaves the second one running, so that a storage on disk already has its tables and
// keys, as in every start of a deployment after the first.
func start(ctx context.Context, o options, s setup) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "dex-bench-")
	if err != nil {
		return nil, err
	}
	srv := &server{setup: s, dir: dir, binary: o.dex}
	defer func() {
		if err != nil {
			err = errors.Join(err, srv.stop())
		}
	}()
	if err := srv.configure(ctx); err != nil {
		return nil, err
	}
	for range 2 {
		if err := srv.halt(); err != nil {
			return nil, err
		}
		if err := srv.launch(ctx); err != nil {
			return nil, err
		}
	}
	if err := wait.For(ctx, untilRest); err != nil {
		return nil, err
	}
	srv.resident, err = srv.residentBytes()
	return srv, err
}

func (s *server) configure(ctx context.Context) error {
	web, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	if s.admin, err = freeAddress(ctx); err != nil {
		return err
	}
	s.issuer = "http://" + web + "/dex"
	storage, err := s.storage()
	if err != nil {
		return err
	}
	config := fmt.Sprintf(configuration, s.issuer, storage, web, s.admin, s.setup.algorithm)
	return os.WriteFile(s.configFile(), []byte(config), 0o600)
}

// addConfiguration adds sections to the configuration.
func (s *server) addConfiguration(text string) error {
	before, err := os.ReadFile(s.configFile())
	if err != nil {
		return err
	}
	return os.WriteFile(s.configFile(), append(before, text...), 0o600) //nolint:gosec // G703: the folder is ours
}

// switchOnSessions has the running server read a configuration with sessions.
func (s *server) switchOnSessions(ctx context.Context) error {
	if err := s.addConfiguration("sessions: {}\n"); err != nil {
		return err
	}
	c := newClient(s.issuer)
	defer c.close()
	for began := time.Now(); ; {
		err := c.read(ctx, "/.well-known/openid-configuration", `"end_session_endpoint"`)
		if err == nil || time.Since(began) > startTimeout {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// storage returns the storage's part of the configuration, in one line. For storages that are servers, it comes from the
// environment, with an empty database for each measured server.
func (s *server) storage() (string, error) {
	switch s.setup.storage {
	case "memory":
		return "{type: memory}", nil
	case "sqlite3":
		return fmt.Sprintf("{type: sqlite3, config: {file: %q}}", filepath.Join(s.dir, "dex.db")), nil
	}
	name := fmt.Sprintf("DEX_BENCH_%s_%d", strings.ToUpper(s.setup.storage), s.setup.number)
	storage := os.Getenv(name)
	if storage == "" {
		return "", fmt.Errorf("%s is not set: make bench starts the storage servers", name)
	}
	return storage, nil
}

func (s *server) configFile() string { return filepath.Join(s.dir, "config.yaml") }

// freeAddress returns a loopback address with a free port.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// launch starts the process and waits for its first answer. The log goes to a file, as under a service manager.
func (s *server) launch(ctx context.Context) error {
	var err error
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	s.process = exec.CommandContext(ctx, s.binary, "serve", s.configFile()) //nolint:gosec // whoever runs it names it
	s.process.Cancel = func() error { return s.process.Process.Signal(syscall.SIGTERM) }
	s.process.Stderr = s.log
	began := time.Now()
	if err := s.process.Start(); err != nil {
		s.process = nil
		return errors.Join(err, s.log.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.patience, startTimeout))
	defer cancel()
	for !s.answers(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %w\n%s", s.binary, context.Cause(ctx), s.logged())
		case <-time.After(2 * time.Millisecond):
		}
	}
	s.firstReply = time.Since(began)
	return nil
}

func (s *server) answers(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+"/healthz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

func (s *server) logged() []byte {
	b, _ := os.ReadFile(s.log.Name()) // the log only supplements another error
	return b
}

// halt ends the process, if there is one.
func (s *server) halt() error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	if err := process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := process.Wait()
	if err != nil {
		err = fmt.Errorf("end of %s: %w\n%s", s.binary, err, s.logged())
	}
	return errors.Join(err, s.log.Close())
}

// stop ends the process and removes its files.
func (s *server) stop() error {
	return errors.Join(s.halt(), os.RemoveAll(s.dir))
}

// clockTick is the unit of times in /proc: always a hundredth of a second on Linux.
const clockTick = 10 * time.Millisecond

// cpu returns the CPU time that the process has used, including time in the kernel.
func (s *server) cpu() (time.Duration, error) { return cpuTime(s.process.Process.Pid) }

func cpuTime(pid int) (time.Duration, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, err
}

// residentBytes returns the process's resident memory.
func (s *server) residentBytes() (int64, error) { return residentBytes(s.process.Process.Pid) }

func residentBytes(pid int) (int64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// stat returns the fields of /proc/PID/stat from the third (the state) on: the second, the command's name, may contain
// anything. See proc_pid_stat(5).
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	var fields []string
	for field := range bytes.FieldsSeq(b[bytes.LastIndexByte(b, ')')+1:]) {
		fields = append(fields, string(field))
	}
	if len(fields) < 22 {
		return nil, errors.New("/proc/PID/stat is not as described in proc_pid_stat(5)")
	}
	return fields, nil
}
